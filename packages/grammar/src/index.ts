export type { GrammarKind, GrammarSource, GrammarSpec } from './spec.ts'
export { grammarKinds, toSource } from './spec.ts'
export { CompiledGrammar, GrammarCompiler, type CompilerLimits } from './compiler.ts'
export { GrammarMatcher } from './matcher.ts'
export { readVocabulary, type Vocabulary } from './vocabulary.ts'
export { GrammarChecker } from './checker.ts'
export { Matchers, RemoteMatcher } from './matchers.ts'
export type { GrammarSetup, MatcherRequest, NextTokens, ThinkingTags, Trigger } from './protocol.ts'
export {
  toolGrammar,
  type ToolCallForm,
  type ToolCallSpec,
  type ToolChoice,
  type ToolDefinition,
} from './tool-grammar.ts'
