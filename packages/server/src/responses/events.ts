import type { ChatAnswer } from '@slipway/engine'
import type { ApiErrorBody } from '../http/error-schema.ts'
import { AnswerParts, partEvents, type AnswerPart, type PartEvent } from '../openai/answer-parts.ts'
import { apiFinishReason, type Generations } from '../openai/generations.ts'
import type { TypedEvent } from '../openai/sse.ts'
import { contentOf, finished, newItemId, toItem, type ApiResponse, type OutputItem } from './response.ts'

interface ResponseEvent extends TypedEvent {
  readonly sequence_number: number
}

/** The events of one answer, in OpenAI's order. */
export class ResponseEvents {
  readonly #response: ApiResponse
  readonly #generations: Generations
  readonly #answer: ChatAnswer
  readonly #items: OutputItem[] = []
  #itemId = ''
  #number = 0

  constructor(response: ApiResponse, generations: Generations, answer: ChatAnswer) {
    this.#response = response
    this.#generations = generations
    this.#answer = answer
  }

  async *all(): AsyncGenerator<ResponseEvent> {
    yield this.#event('response.created', { response: this.#response })
    yield this.#event('response.in_progress', { response: this.#response })
    const source = partEvents(this.#generations, this.#answer, new AnswerParts())
    // whether the last part is whole shows when all has ended
    let last: PartEvent | undefined
    let next = await source.next()
    for (; !next.done; next = await source.next()) {
      if (last) yield* this.#end(last, true)
      last = next.value.type === 'end' ? next.value : undefined
      if (next.value.type === 'start') yield* this.#start(next.value)
      else if (next.value.type === 'delta') yield this.#delta(next.value.part, next.value.index, next.value.delta)
    }
    const isWhole = apiFinishReason(next.value.finishReason) === 'stop'
    if (last) yield* this.#end(last, isWhole)
    const response = finished(this.#response, this.#items, isWhole, this.#generations.usage, this.#answer)
    yield this.#event(`response.${isWhole ? 'completed' : 'incomplete'}`, { response })
  }

  /** The event that ends a stream which breaks. */
  failed({ error: { code, type, message } }: ApiErrorBody): ResponseEvent {
    const response = { ...this.#response, status: 'failed' as const, error: { code: code ?? type, message } }
    return this.#event('response.failed', { response: { ...response, output: this.#items } })
  }

  *#start({ index, part }: PartEvent): Generator<ResponseEvent> {
    this.#itemId = newItemId(part)
    const item = toItem(part, this.#itemId, 'in_progress')
    yield this.#event('response.output_item.added', { output_index: index, item })
    if (part.kind === 'call') return
    yield this.#event('response.content_part.added', { ...this.#place(part, index), part: contentOf(part.kind, '') })
  }

  #delta(part: AnswerPart, index: number, delta: string): ResponseEvent {
    return this.#event(`response.${streamed[part.kind]}.delta`, {
      ...this.#place(part, index),
      delta,
      ...(part.kind === 'text' && { logprobs: [] }),
    })
  }

  *#end({ index, part }: PartEvent, isWhole: boolean): Generator<ResponseEvent> {
    const place = this.#place(part, index)
    const { text } = part
    const done = part.kind === 'call' ? { name: part.name, arguments: text } : { text }
    yield this.#event(`response.${streamed[part.kind]}.done`, {
      ...place,
      ...done,
      ...(part.kind === 'text' && { logprobs: [] }),
    })
    if (part.kind !== 'call')
      yield this.#event('response.content_part.done', { ...place, part: contentOf(part.kind, text) })
    const item = toItem(part, this.#itemId, isWhole ? 'completed' : 'incomplete')
    this.#items.push(item)
    yield this.#event('response.output_item.done', { output_index: index, item })
  }

  #place(part: AnswerPart, index: number) {
    return { item_id: this.#itemId, output_index: index, ...(part.kind !== 'call' && { content_index: 0 }) }
  }

  #event(type: string, fields: object): ResponseEvent {
    return { type, sequence_number: this.#number++, ...fields }
  }
}

/** What of each kind is streamed. */
const streamed = { reasoning: 'reasoning_text', text: 'output_text', call: 'function_call_arguments' } as const
