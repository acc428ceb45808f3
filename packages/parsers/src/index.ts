export {
  OutputCollector,
  type OutputDelta,
  type ParsedOutput,
  type TextParser,
  type ToolCall,
  type ToolCallDelta,
  type ToolSchema,
} from './deltas.ts'
export { OutputParser, parseOutput, type OutputParserOptions } from './output-parser.ts'
export { ParserRegistry } from './registry.ts'
export { endsInThinking, type ReasoningFormat } from './reasoning/reasoning-format.ts'
export { ReasoningCounter } from './reasoning/reasoning-counter.ts'
export type { CallBody, CallSink, CallStep, NewCallBody } from './tools/call-body.ts'
export type { CallForm } from './tools/call-form.ts'
export type { EnvelopeForm } from './tools/envelope-call.ts'
export { toolFormat, type ToolFormat } from './tools/tool-format.ts'
export { jsonInTags } from './tools/tool-formats.ts'
export type { CallSyntax, ToolDelta } from './tools/tool-parser.ts'
export { deriveReasoning } from './derive/derive-reasoning.ts'
export { deriveTools, type DerivedTools } from './derive/derive-tools.ts'
