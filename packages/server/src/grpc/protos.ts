import { fileURLToPath } from 'node:url'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'

/** Path of the .proto file of the Open Inference Protocol as it is served, for clients. */
export const openInferenceProto: string = pathOf('open_inference_grpc.proto')

/** Path of the .proto file of the health service. */
export const healthProto: string = pathOf('health.proto')

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../proto/${name}`, import.meta.url))
}

/** The services by their full names. Numbers of 64 bits are numbers; what is beyond 2^53 is no index or count here. */
export function loadServices(): { readonly inference: ServiceDefinition; readonly health: ServiceDefinition } {
  const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }
  const inference: PackageDefinition = loadSync(openInferenceProto, options)
  const health: PackageDefinition = loadSync(healthProto, options)
  return {
    inference: inference[inferenceService] as ServiceDefinition,
    health: health[healthService] as ServiceDefinition,
  }
}

export const inferenceService = 'inference.GRPCInferenceService'
export const healthService = 'grpc.health.v1.Health'
