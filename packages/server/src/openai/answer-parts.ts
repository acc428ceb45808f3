import type { ChatAnswer, CompletionOutput, FinishReason } from '@slipway/engine'
import type { OutputDelta } from '@slipway/parsers'
import type { Generations } from './generations.ts'

/** A part of an answer, as far as it has come. */
export type AnswerPart =
  | { readonly kind: 'reasoning' | 'text'; text: string }
  /** `text` is JSON: the arguments. */
  | { readonly kind: 'call'; readonly id: string; readonly name: string; text: string }

/** Parts come one after the other: each begins, grows and ends before the next. */
export type PartEvent =
  | { readonly type: 'start' | 'end'; readonly index: number; readonly part: AnswerPart }
  | { readonly type: 'delta'; readonly index: number; readonly part: AnswerPart; readonly delta: string }

/** Puts the deltas of one answer in the order of its parts, for APIs that tell them apart as blocks or items. */
export class AnswerParts {
  readonly parts: AnswerPart[] = []
  #isOpen = false
  #call = -1

  get #last() {
    return { index: this.parts.length - 1, part: this.parts.at(-1)! }
  }

  *push({ reasoning, content, toolCalls = [] }: OutputDelta): Generator<PartEvent> {
    if (reasoning) yield* this.#grow('reasoning', reasoning)
    if (content) yield* this.#grow('text', content)
    for (const { index, id, name, argumentsDelta } of toolCalls) {
      if (index !== this.#call) {
        this.#call = index
        yield* this.#start({ kind: 'call', id: id!, name: name!, text: '' })
      }
      if (argumentsDelta) yield this.#add(argumentsDelta)
    }
  }

  *end(): Generator<PartEvent> {
    if (!this.#isOpen) return
    this.#isOpen = false
    yield { type: 'end', ...this.#last }
  }

  *#grow(kind: 'reasoning' | 'text', text: string): Generator<PartEvent> {
    if (!this.#isOpen || this.#last.part.kind !== kind) yield* this.#start({ kind, text: '' })
    yield this.#add(text)
  }

  *#start(part: AnswerPart): Generator<PartEvent> {
    yield* this.end()
    this.#isOpen = true
    this.parts.push(part)
    yield { type: 'start', ...this.#last }
  }

  #add(delta: string): PartEvent {
    this.#last.part.text += delta
    return { type: 'delta', ...this.#last, delta }
  }
}

/** The parts of a whole answer; `answer` is a fresh reader. */
export function partsOf({ text, tokenIds }: CompletionOutput, answer: ChatAnswer): readonly AnswerPart[] {
  const parts = new AnswerParts()
  for (const delta of [answer.push(text, tokenIds), answer.finish()]) for (const _ of parts.push(delta));
  return parts.parts
}

/** How an answer ended. */
export interface AnswerEnd {
  readonly finishReason: FinishReason
  readonly stopReason: string | number | null
}

/** The parts of one answer as they come, gathered in `parts`; gives back how it ended. */
export async function* partEvents(
  generations: Generations,
  answer: ChatAnswer,
  parts: AnswerParts,
): AsyncGenerator<PartEvent, AnswerEnd> {
  let end: AnswerEnd = { finishReason: 'error', stopReason: null }
  for await (const event of generations.events()) {
    if (event.type === 'delta') yield* parts.push(answer.push(event.text, event.tokenIds))
    if (event.type !== 'finish') continue
    end = event
    yield* parts.push(answer.finish())
    yield* parts.end()
  }
  return end
}
