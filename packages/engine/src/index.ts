export { LLM, type ChatOptions, type LLMOptions, type Prompt } from './llm.ts'
export type { BatchOptions, IndexedEvent, RequestOptions } from './batch.ts'
export { GenerationStream, type RequestTiming } from './generation-stream.ts'
export type {
  ChosenLogprob,
  CompletionOutput,
  FinishReason,
  GenerationEvent,
  RequestOutput,
  TokenLogprob,
  Usage,
} from './outputs.ts'
export { resolveParams, type ResolvedParams, type SamplingParams, type StructuredOutputs } from './sampling-params.ts'
export { resolveScheduling, type SchedulingOptions } from './scheduling-options.ts'
export { diskBytes, memoryBytes } from './sizes.ts'
export { engineOptionsSchema, parseOptions, resolveEngineOptions, type EngineOptions } from './options.ts'
export { profileModel, type ModelProfile, type ProfileOptions } from './profile-model.ts'
export { median, type OpProfile, type StepProfile } from './step-profile.ts'
export { openStep, type StepShape } from './open-step.ts'
export type { EngineStats } from './engine.ts'
export type { LoadProgress, ModelInfo } from './protocol.ts'
