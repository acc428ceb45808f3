import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

// Every metric has the name that vLLM gives it and the one of FastDeploy, so that dashboards made for either work.

export interface FamilyNames {
  readonly vllm?: string
  readonly fastdeploy?: string
  /** Of neither: the name as it is. */
  readonly plain?: string
}

type Labels = Readonly<Record<string, string | number>>

function namesOf({ vllm, fastdeploy, plain }: FamilyNames): string[] {
  return [
    ...(vllm === undefined ? [] : [`vllm:${vllm}`]),
    ...(fastdeploy === undefined ? [] : [`fastdeploy:${fastdeploy}`]),
    ...(plain === undefined ? [] : [plain]),
  ]
}

/** Declares metrics under all of their names, and feeds these together. */
export class Families {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  counter(names: FamilyNames, help: string, labelNames: string[] = []): (value: number, labels?: Labels) => void {
    const registers = [this.#registry]
    const all = namesOf(names).map((name) => new Counter({ name, help, labelNames, registers }))
    return (value, labels = {}) => {
      for (const one of all) one.inc(labels, value)
    }
  }

  histogram(names: FamilyNames, help: string, buckets: number[]): (value: number) => void {
    const registers = [this.#registry]
    const all = namesOf(names).map((name) => new Histogram({ name, help, buckets, registers }))
    return (value) => {
      for (const one of all) one.observe(value)
    }
  }

  gauge(names: FamilyNames, help: string, labelNames: string[] = []): (value: number, labels?: Labels) => void {
    const registers = [this.#registry]
    const all = namesOf(names).map((name) => new Gauge({ name, help, labelNames, registers }))
    return (value, labels = {}) => {
      for (const one of all) one.set(labels, value)
    }
  }

  /** A counter that somebody else keeps: set to what it has come to. It may begin anew, as counters may. */
  total(names: FamilyNames, help: string): (value: number) => void {
    const registers = [this.#registry]
    const all = namesOf(names).map((name) => new Counter({ name, help, registers }))
    return (value) => {
      for (const one of all) {
        one.reset()
        one.inc(value)
      }
    }
  }
}
