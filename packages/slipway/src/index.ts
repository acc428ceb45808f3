// The public face: what users import.
export {
  LLM,
  GenerationStream,
  type AnswerMessage,
  type BatchOptions,
  type ChatOptions,
  type ChatOutput,
  type ChatPlan,
  type ChatTool,
  type ChosenLogprob,
  type ClassOutput,
  type CompletionOutput,
  type EmbeddingOutput,
  type EngineOptions,
  type EngineStats,
  type FinishReason,
  type GenerationEvent,
  type IndexedEvent,
  type InfillPrompt,
  type LLMOptions,
  type LoadProgress,
  type ModelInfo,
  type PlainPrompt,
  type PoolingOutput,
  type PoolingParams,
  type Prompt,
  type RequestOutput,
  type SamplingParams,
  type Thinking,
  type ScoreOutput,
  type TokenLogprob,
  type Usage,
} from '@slipway/engine'
export { resolveModel, type ChatMessage } from '@slipway/checkpoint'
export { miniModelDirectory } from '@slipway/mini'
export {
  OutputParser,
  parseOutput,
  ParserRegistry,
  toolFormat,
  type OutputDelta,
  type ParsedOutput,
  type ReasoningFormat,
  type ToolFormat,
} from '@slipway/parsers'
export { serve, type RunningServer, type ServerOptions } from './serve.ts'
export { SlipwayError, type ErrorKind } from '@slipway/tensor'
