/** `slipway/server`: the server as an application without a socket, for those who mount it in a server of their own. */
export {
  createApp,
  healthProto,
  openInferenceProto,
  serve,
  type RunningServer,
  type ServerOptions,
} from '@slipway/server'
