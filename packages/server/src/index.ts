export { AnswersFile } from './batches/answers-file.ts'
export { askLine, batchRoutes, inParallel, refusedLine, type LineReply, type LineRequest } from './batches/ask-line.ts'
export { readBatchLine, type BatchLine } from './batches/line.ts'
export { createApp } from './app.ts'
export { healthProto, openInferenceProto } from './grpc/proto-files.ts'
export type { ApiErrorBody } from './http/error-schema.ts'
export type { ServerEnv } from './http/request-id.ts'
export type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatLogprobs,
  Completion,
  CompletionChunk,
  CompletionLogprobs,
  Model,
} from './openai/answers.ts'
export { serverOptionsSchema, type ServerOptions } from './options.ts'
export { serve, type RunningServer } from './serve.ts'
export { createLog } from './observe/log.ts'
