import { fileURLToPath } from 'node:url'

/** Path of the .proto file of the Open Inference Protocol as it is served, for clients. */
export const openInferenceProto: string = pathOf('open_inference_grpc.proto')

/** Path of the .proto file of the health service of gRPC. */
export const healthProto: string = pathOf('health.proto')

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../proto/${name}`, import.meta.url))
}
