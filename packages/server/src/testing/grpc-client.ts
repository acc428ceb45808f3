import {
  credentials,
  Client,
  Metadata,
  loadPackageDefinition,
  type CallOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ChannelCredentials,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { healthProto, openInferenceProto } from '../grpc/proto-files.ts'
import type { ModelInferResponse, ModelStreamInferResponse } from '../grpc/messages.ts'

type Services = Record<'GRPCInferenceService' | 'Health', ServiceClientConstructor>

function load(path: string, name: string): Services {
  const loaded = loadPackageDefinition(loadSync(path, { keepCase: true, longs: Number, enums: String, defaults: true }))
  return name.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], loaded) as Services
}

const inference = load(openInferenceProto, 'inference')
const health = load(healthProto, 'grpc.health.v1')

/** A client made from the published names and numbers, as any language makes it. */
export class GrpcClient {
  readonly #clients: readonly [Client, Client]

  constructor(address: string, channel: ChannelCredentials = credentials.createInsecure()) {
    // connections of its own, as a client in another process has them
    const options = { 'grpc.use_local_subchannel_pool': 1 }
    this.#clients = [
      new inference.GRPCInferenceService(address, channel, options),
      new health.Health(address, channel, options),
    ] as unknown as [Client, Client]
  }

  /** A call with one answer; `Check` is of the health service. */
  ask<T = ModelInferResponse>(method: string, request: object, options: CallOptions & Head = {}): Promise<T> {
    const client = this.#clients[method === 'Check' ? 1 : 0] as unknown as Record<string, UnaryCall<T>>
    return new Promise((resolve, reject) => {
      const call = client[method]!(request, metadataOf(options), options, (error, value) =>
        error ? reject(error) : resolve(value),
      )
      options.onCall?.(call)
    })
  }

  /** The code and message with which a call is refused. */
  async refusal(method: string, request: object, options: CallOptions & Head = {}): Promise<ServiceError> {
    return this.ask(method, request, options).then(
      () => {
        throw new Error(`${method} was not refused`)
      },
      (error: ServiceError) => error,
    )
  }

  stream(options: CallOptions & Head = {}): ClientDuplexStream<object, ModelStreamInferResponse> {
    const client = this.#clients[0] as unknown as {
      ModelStreamInfer: (
        metadata: Metadata,
        options: CallOptions,
      ) => ClientDuplexStream<object, ModelStreamInferResponse>
    }
    return client.ModelStreamInfer(metadataOf(options), options)
  }

  watch(service: string): ClientReadableStream<{ status: string }> {
    const client = this.#clients[1] as unknown as {
      Watch: (request: object) => ClientReadableStream<{ status: string }>
    }
    return client.Watch({ service })
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}

type UnaryCall<T> = (
  request: object,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: ServiceError | null, value: T) => void,
) => { cancel(): void }

interface Head {
  readonly headers?: Readonly<Record<string, string>>
  readonly onCall?: (call: { cancel(): void }) => void
}

function metadataOf({ headers = {} }: Head): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return metadata
}

/** Inputs for texts. */
export function texts(...values: string[]) {
  const contents = { bytes_contents: values.map((text) => Buffer.from(text)) }
  return [{ name: 'text_input', datatype: 'BYTES', shape: [values.length], contents }]
}

/** Elements of an output, BYTES as text. */
export function output({ outputs = [] }: ModelInferResponse, name: string): readonly (string | number)[] {
  const { contents = {} } = outputs.find((tensor) => tensor.name === name) ?? {}
  const { bytes_contents: bytes = [], int64_contents: ints = [], fp32_contents: floats = [] } = contents
  return bytes.length > 0 ? bytes.map((text) => text.toString()) : ints.length > 0 ? ints : floats
}

/** All responses of a call that has ended; throws its status if that is not OK. */
export async function responsesOf(call: AsyncIterable<unknown>): Promise<ModelStreamInferResponse[]> {
  const responses: ModelStreamInferResponse[] = []
  for await (const response of call) responses.push(response as ModelStreamInferResponse)
  return responses
}
