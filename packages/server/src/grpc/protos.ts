import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { healthProto, openInferenceProto } from './proto-files.ts'

export const inferenceService = 'inference.GRPCInferenceService'
export const healthService = 'grpc.health.v1.Health'

/** The two services. Numbers of 64 bits are numbers; what is beyond 2^53 is no index or count here. */
export function loadServices(): { readonly inference: ServiceDefinition; readonly health: ServiceDefinition } {
  const load = (path: string, name: string): ServiceDefinition =>
    loadSync(path, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true })[
      name
    ] as ServiceDefinition
  return { inference: load(openInferenceProto, inferenceService), health: load(healthProto, healthService) }
}
