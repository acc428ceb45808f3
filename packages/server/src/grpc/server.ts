import { setTimeout as after } from 'node:timers/promises'
import {
  Metadata,
  Server,
  ServerCredentials,
  type handleUnaryCall,
  type sendUnaryData,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { ServerContext } from '../context.ts'
import { requestIdOf } from '../http/request-id.ts'
import { listenError, reachable, readCertificate } from '../listen.ts'
import type { RequestScope } from '../observe/request-scope.ts'
import { HealthService, type HealthRequest, type HealthWatch } from './health.ts'
import { Inference } from './infer.ts'
import type { ModelInferRequest, ModelRequest } from './messages.ts'
import { modelMetadata, modelReady, serverMetadata } from './model.ts'
import { readiness } from '../health.ts'
import { inferenceService, loadServices } from './protos.ts'
import { headersOf, inScope, Refused, type Admission, type Caller } from './scope.ts'
import { serviceError } from './status.ts'
import { StreamCall, type InferStream } from './stream-call.ts'

export interface GrpcServer {
  /** Host and port that a client on this machine can use. */
  readonly address: string
  readonly port: number
  /** Takes no more calls, and ends idle ones; resolves to whether all came to their end within `milliseconds`. */
  close(milliseconds: number): Promise<boolean>
}

/** Serves the Open Inference Protocol and the health service at `options.grpcPort`. */
export async function serveGrpc(context: ServerContext): Promise<GrpcServer> {
  const { host, grpcPort = 0, maxBodyBytes } = context.options
  const server = new Server({
    'grpc.max_receive_message_length': maxBodyBytes,
    'grpc.max_concurrent_streams': 1024,
    // finds out about clients that are gone without a word
    'grpc.keepalive_time_ms': 60_000,
  })
  const services = loadServices()
  const health = new HealthService(context)
  const streams = new Set<StreamCall>()
  server.addService(services.inference, inferenceMethods(context, streams))
  server.addService(services.health, {
    Check: (({ request }, callback) => {
      try {
        callback(null, health.check(request))
      } catch (error) {
        callback(error as Error)
      }
    }) satisfies handleUnaryCall<HealthRequest, unknown>,
    Watch: (call: HealthWatch) => health.watch(call),
  })
  const pair = readCertificate(context.options)
  const credentials = pair
    ? ServerCredentials.createSsl(null, [{ private_key: pair.key, cert_chain: pair.cert }])
    : ServerCredentials.createInsecure()
  const name = host.includes(':') ? `[${host}]` : host
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${name}:${grpcPort}`, credentials, (error, bound) => (error ? reject(error) : resolve(bound)))
  }).catch((error: unknown) => {
    throw listenError(error, host, grpcPort, '--grpc-port')
  })
  return {
    address: `${reachable(host)}:${port}`,
    port,
    async close(milliseconds) {
      health.close()
      for (const stream of streams) stream.close()
      const closed = new Promise<boolean>((resolve) => server.tryShutdown(() => resolve(true)))
      const inTime = await Promise.race([closed, after(milliseconds, false, { ref: false })])
      if (!inTime) server.forceShutdown()
      return inTime
    },
  }
}

function inferenceMethods(context: ServerContext, streams: Set<StreamCall>): UntypedServiceImplementation {
  const unary = <Request>(
    name: string,
    admission: Admission,
    work: (request: Request, caller: Caller, scope: RequestScope) => unknown,
  ): handleUnaryCall<Request, unknown> => {
    const route = `/${inferenceService}/${name}`
    return (call, callback) => void answer(context, call, callback, { route, admission, work })
  }
  return {
    ServerLive: unary('ServerLive', 'open', () => ({ live: true })),
    ServerReady: unary('ServerReady', 'open', () => ({ ready: readiness(context) === 'ready' })),
    ServerMetadata: unary('ServerMetadata', 'open', () => serverMetadata()),
    ModelReady: unary<ModelRequest>('ModelReady', 'known', (request) => modelReady(context, request)),
    ModelMetadata: unary<ModelRequest>('ModelMetadata', 'known', (request) => modelMetadata(context, request)),
    ModelInfer: unary<ModelInferRequest>('ModelInfer', 'counted', (request, caller, scope) =>
      new Inference(context, request, caller, scope).whole(),
    ),
    ModelStreamInfer: (call: InferStream) => {
      const stream = new StreamCall(context, call, `/${inferenceService}/ModelStreamInfer`)
      streams.add(stream)
      void stream.run().finally(() => streams.delete(stream))
    },
  }
}

interface Method<Request> {
  readonly route: string
  readonly admission: Admission
  readonly work: (request: Request, caller: Caller, scope: RequestScope) => unknown
}

async function answer<Request>(
  context: ServerContext,
  call: ServerUnaryCall<Request, unknown>,
  callback: sendUnaryData<unknown>,
  { route, admission, work }: Method<Request>,
): Promise<void> {
  const leaving = new AbortController()
  call.once('cancelled', () => leaving.abort())
  const headers = headersOf(call.metadata)
  const requestId = requestIdOf(headers)
  const caller = { route, requestId, headers, signal: leaving.signal }
  try {
    const response = await inScope(context, admission, caller, (scope) => {
      const head = new Metadata()
      head.set('x-request-id', requestId)
      const limits = admission === 'counted' ? scope.account?.headers() : undefined
      for (const [name, value] of Object.entries(limits ?? {})) head.set(name, value)
      call.sendMetadata(head)
      return work(call.request, caller, scope)
    })
    callback(null, response)
  } catch (error) {
    callback(serviceError((error as Refused).answer, requestId))
  }
}
