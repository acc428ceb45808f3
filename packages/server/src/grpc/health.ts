import { status, type ServerWritableStream } from '@grpc/grpc-js'
import type { ServerContext } from '../context.ts'
import { readiness } from '../health.ts'
import { healthService, inferenceService } from './protos.ts'

type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'

export interface HealthRequest {
  readonly service: string
}

export interface HealthResponse {
  readonly status: ServingStatus
}

export type HealthWatch = ServerWritableStream<HealthRequest, HealthResponse>

/** Milliseconds after which a change is told at the latest. */
const interval = 100

/** The empty name stands for the whole server. */
const services = new Set(['', inferenceService, healthService])

/** The health service of gRPC: SERVING while requests are taken, as GET /ready. */
export class HealthService {
  readonly #context: ServerContext
  readonly #watches = new Map<HealthWatch, ServingStatus | undefined>()
  #timer: NodeJS.Timeout | undefined

  constructor(context: ServerContext) {
    this.#context = context
  }

  check({ service }: HealthRequest): HealthResponse {
    const now = this.#statusOf(service)
    if (now !== 'SERVICE_UNKNOWN') return { status: now }
    const details = `there is no service "${service}"; this server has ${inferenceService}`
    throw Object.assign(new Error(details), { code: status.NOT_FOUND, details })
  }

  /** The status now and after every change. */
  watch(call: HealthWatch): void {
    this.#watches.set(call, undefined)
    call.once('cancelled', () => {
      this.#watches.delete(call)
      if (this.#watches.size === 0) this.#stop()
    })
    this.#timer ??= setInterval(() => this.#tell(), interval).unref()
    this.#tell()
  }

  /** Tells all who watch for the last time. */
  close(): void {
    this.#tell()
    for (const call of this.#watches.keys()) call.end()
    this.#watches.clear()
    this.#stop()
  }

  #statusOf(service: string): ServingStatus {
    if (!services.has(service)) return 'SERVICE_UNKNOWN'
    return readiness(this.#context) === 'ready' ? 'SERVING' : 'NOT_SERVING'
  }

  #tell(): void {
    for (const [call, last] of this.#watches) {
      const now = this.#statusOf(call.request.service)
      if (now === last) continue
      this.#watches.set(call, now)
      call.write({ status: now })
    }
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
