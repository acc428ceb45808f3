import type { LLM } from '@slipway/engine'
import { Registry } from 'prom-client'
import { engineMetrics } from './engine-metrics.ts'
import { Families } from './families.ts'
import { requestMetrics } from './request-metrics.ts'
import type { RequestScope } from './request-scope.ts'

/** What Prometheus is told. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #askEngine: () => Promise<void>
  /** Counts a request that has ended. */
  readonly observe: (scope: RequestScope) => void

  constructor(llm: LLM, modelName: () => string) {
    const families = new Families(this.#registry)
    this.observe = requestMetrics(families)
    this.#askEngine = engineMetrics(families, llm)
    this.#modelName = modelName
  }

  readonly #modelName: () => string

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The text that GET /metrics answers. */
  async render(): Promise<string> {
    await this.#askEngine()
    this.#registry.setDefaultLabels({ model_name: this.#modelName() })
    return this.#registry.metrics()
  }
}
