export { LLM, type ChatOptions, type LLMOptions } from './llm.ts'
export type { ClassOutput, EmbeddingOutput, PromptPair, ScoreOutput } from './pooling/pooling-api.ts'
export { tasksOf, type PoolingInfo, type PoolingParams, type PoolingTaskName } from './pooling/pooling-params.ts'
export { requireGenerating } from './pooling/pooling-request.ts'
export { PoolingTask, type PoolingOutput } from './pooling/pooling-task.ts'
export type { InfillPrompt, PlainPrompt, Prompt } from './prompt.ts'
export type { BatchOptions, IndexedEvent, RequestOptions, RequestRecord } from './batch.ts'
export { GenerationStream, type RequestTiming } from './generation-stream.ts'
export type {
  ChosenLogprob,
  CompletionOutput,
  FinishReason,
  GenerationEvent,
  PromptLogprobs,
  RequestOutput,
  TokenLogprob,
  Usage,
} from './outputs.ts'
export type { LogitsProcessor, LogitsProcessorPlugin, LogitsProcessorRequest } from './logits-processor.ts'
export type { BeamSearchParams } from './beam-search-params.ts'
export { resolveParams, type ResolvedParams, type SamplingParams, type StructuredOutputs } from './sampling-params.ts'
export { resolveScheduling, type SchedulingOptions } from './scheduling-options.ts'
export { diskBytes, memoryBytes } from './sizes.ts'
export { engineOptionsSchema, parseOptions, resolveEngineOptions, type EngineOptions } from './options.ts'
export { profileModel, type ModelProfile, type ProfileOptions } from './profile-model.ts'
export { median, type OpProfile, type StepProfile } from './step-profile.ts'
export { openStep, type StepShape } from './open-step.ts'
export type { AdapterInfo } from './adapters.ts'
export { ChatAnswer } from './chat/chat-answer.ts'
export { readMessage, type AnswerMessage, type ChatOutput } from './chat/chat-output.ts'
export { createOutputFormats, type OutputFormats, type ParserNames } from './chat/output-formats.ts'
export type { ChatParams, ChatPlan, ChatTool } from './chat/plan-chat.ts'
export { efforts, type ReasoningEffort } from './chat/thinking-switches.ts'
export type { Thinking } from './thinking.ts'
export { pauseModes, wakeTags, type EngineState, type PauseMode, type WakeTag } from './control-plane.ts'
export { Controlled, type PauseOptions } from './controlled.ts'
export type { EngineStats } from './engine.ts'
export type { EngineSnapshot, SequenceState } from './snapshot.ts'
export type { BlockMap } from './block-pool.ts'
export type { LoadProgress, ModelInfo } from './protocol.ts'
