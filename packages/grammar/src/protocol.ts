import type { MessagePort } from 'node:worker_threads'
import type { WireError } from '@slipway/tensor'
import type { Rules } from './ast.ts'
import type { KnownRun } from './loops.ts'
import type { TokenBytes } from './token-trie.ts'
import type { GrammarSource } from './spec.ts'

/** Given to a grammar thread when it starts. */
export interface GrammarSetup {
  /** Holds the tokenizer. */
  readonly directory: string
  /** Width of the logits. */
  readonly vocabSize: number
  readonly stopIds: readonly number[]
  readonly memoryBytes: number
  readonly maxGrammars: number
}

/** What a grammar thread starts with; commands come and answers go through the port. */
export interface GrammarWorkerData {
  readonly setup: GrammarSetup
  readonly port: MessagePort
  /** Of a `MessageCounts`. */
  readonly counts: SharedArrayBuffer
}

/** Where a model thinks before it answers. */
export interface ThinkingTags {
  /** Token ids of the tags. */
  readonly startIds: readonly number[]
  readonly endIds: readonly number[]
  /** Whether the output begins inside; undefined: it may begin with the start tag, or with the answer. */
  readonly isOpen?: boolean | undefined
}

/** Where in the output the grammar begins: after this text, after these tokens, or where the model has thought. */
export type Trigger =
  | { readonly text: string }
  | { readonly tokenIds: readonly number[] }
  | { readonly thinking: ThinkingTags }

/** One text that is to follow a grammar. */
export interface MatcherRequest {
  readonly source: GrammarSource
  readonly stopIds: readonly number[]
  /** Special tokens that count as their text: the markers of a model's tool calls may be such. */
  readonly textIds?: readonly number[]
  readonly after: Trigger | undefined
}

/** To the thread. It answers each in order, with the same `id`. */
export type GrammarCommand =
  /** Compiles and makes the first mask, to see whether that works. */
  | { readonly type: 'check'; readonly id: number; readonly source: GrammarSource }
  /** Begins a matcher named `id`, `tokens` into its text. The answer holds the grammar if it is wanted, or null. */
  | {
      readonly type: 'open'
      readonly id: number
      readonly request: MatcherRequest
      readonly tokens: readonly number[]
      readonly wantsGrammar: boolean
    }
  | { readonly type: 'accept'; readonly id: number; readonly tokens: readonly number[] }
  | { readonly type: 'close'; readonly id: number }

/** What may come next in a text. */
export type NextTokens =
  /** Anything: the grammar has not begun, or leaves it open. */
  | { readonly state: 'free' }
  /** Tokens whose bit is set; `only` is the one that is left, where that was looked for and it is one. */
  | { readonly state: 'masked'; readonly mask: Uint32Array; readonly only?: number | undefined }
  /** Nothing but the end. */
  | { readonly state: 'complete' }

/** What it takes to tell where in a grammar a text is. */
export interface FollowedGrammar {
  readonly rules: Rules
  readonly tokens: TokenBytes
  /** What is known of loops along the tree of tokens. */
  readonly runs: readonly KnownRun[]
  /** Tokens that end a text. */
  readonly stopIds: readonly number[]
}

export type GrammarReport =
  | { readonly type: 'ready'; readonly threadFile: string | undefined }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'checked'; readonly id: number; readonly error?: WireError; readonly isBroken: boolean }
  | {
      readonly type: 'next'
      readonly id: number
      readonly next: NextTokens
      readonly grammar?: FollowedGrammar | null | undefined
    }
  | { readonly type: 'refused'; readonly id: number; readonly error: WireError; readonly isBroken: boolean }
