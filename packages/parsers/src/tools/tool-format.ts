import { randomInt } from 'node:crypto'
import type { TextParser, ToolSchema } from '../deltas.ts'
import type { CallForm } from './call-form.ts'
import { markersOf, ToolParser, type CallSyntax, type ToolDelta } from './tool-parser.ts'

/** A way in which models write tool calls; a parser of your own implements this. */
export interface ToolFormat {
  /** Texts that a tokenizer must not leave out even if they are special tokens. */
  readonly markers: readonly string[]
  /** How calls are written where they are forced; a format without it can be read only. */
  readonly form?: CallForm | undefined
  /** Ids in the form that the model's template takes back. */
  newId(): string
  newParser(tools: readonly ToolSchema[], newId: () => string): TextParser<ToolDelta>
}

/** A format of which only the syntax is special. */
export function toolFormat(syntax: CallSyntax, newId: () => string = openAiId): ToolFormat {
  return {
    markers: markersOf(syntax),
    form: syntax.form,
    newId,
    newParser: (tools, newId) => new ToolParser(syntax, tools, newId),
  }
}

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

function randomText(length: number): string {
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join('')
}

function openAiId(): string {
  return `call_${randomText(24)}`
}

/** Mistral's templates take ids of exactly nine letters and digits. */
export function mistralId(): string {
  return randomText(9)
}
