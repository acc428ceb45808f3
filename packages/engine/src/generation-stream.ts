import type { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import type { EngineClient } from './client.ts'
import type { StepOutput } from './engine.ts'
import { onAbort } from './on-abort.ts'
import { nameLogprobs, OutputProcessor } from './output-processor.ts'
import type { ChosenLogprob, FinishReason, GenerationEvent, PromptLogprobs, RequestOutput, Usage } from './outputs.ts'
import type { RawLogprobs } from './runner.ts'
import type { EngineRequest } from './sequence.ts'

/** When things happened to a request: milliseconds of performance.now(), undefined for what has not happened. */
export interface RequestTiming {
  readonly submittedAt: number
  firstTokenAt: number | undefined
  lastTokenAt: number | undefined
  endedAt: number | undefined
  /** Milliseconds in the engine's queue, and from there to the first token. */
  queuedMs: number | undefined
  prefillMs: number | undefined
  /** Milliseconds between one token and the next, of all completions. */
  readonly gaps: number[]
}

/** Of a request that is submitted now. */
export function newTiming(): RequestTiming {
  return {
    submittedAt: performance.now(),
    firstTokenAt: undefined,
    lastTokenAt: undefined,
    endedAt: undefined,
    queuedMs: undefined,
    prefillMs: undefined,
    gaps: [],
  }
}

/**
 * The answer to one request as it comes. Read it once: by `for await`, or by `result()`. Leaving the loop early, or
 * `abort()`, ends the request and gives its memory back within a step; every completion then ends with `abort`.
 */
export class GenerationStream implements AsyncIterable<GenerationEvent> {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  readonly timing = newTiming()
  readonly #client: EngineClient
  readonly #tokenizer: Tokenizer
  readonly #params: EngineRequest['params']
  readonly #processors: readonly OutputProcessor[]
  readonly #lastTokenAt: (number | undefined)[] = []
  readonly #finishReasons: (FinishReason | undefined)[]
  readonly #queue: GenerationEvent[] = []
  #wake: (() => void) | undefined
  #error: SlipwayError | undefined
  #isDone = false
  #cachedTokens = 0
  #isRead = false

  /** `before` has to resolve before the engine gets the request; if it rejects, so does the stream. */
  constructor(
    client: EngineClient,
    tokenizer: Tokenizer,
    request: EngineRequest,
    signal?: AbortSignal,
    before?: Promise<void>,
  ) {
    const { requestId, promptTokenIds, params } = request
    this.requestId = requestId
    this.promptTokenIds = promptTokenIds
    this.#client = client
    this.#tokenizer = tokenizer
    this.#params = params
    this.#processors = Array.from(
      { length: params.bestOf ?? params.n },
      (_, i) => new OutputProcessor(tokenizer, params, i),
    )
    this.#finishReasons = this.#processors.map(() => undefined)
    if (signal?.aborted) {
      this.abort()
      return
    }
    this.#onEnd = onAbort(signal, () => this.abort())
    const onError = (error: SlipwayError): void => {
      this.#error = error
      this.#end()
    }
    const submit = (): void => client.submit(request, { onStep: (output) => this.#onStep(output), onError })
    if (!before) submit()
    else
      before
        .then(() => {
          if (!this.#isDone) submit()
        })
        .catch((error: unknown) => {
          if (!this.#isDone) onError(SlipwayError.is(error) ? error : SlipwayError.fromWire(SlipwayError.toWire(error)))
        })
  }

  #onEnd: () => void = () => {}

  get usage(): Usage {
    const completionTokens = this.#processors.reduce((sum, { numTokens }) => sum + numTokens, 0)
    return { promptTokens: this.promptTokenIds.length, completionTokens, cachedTokens: this.#cachedTokens }
  }

  /** How the completions have ended; those that have not are left out, unless an error took them all. */
  get finishReasons(): FinishReason[] {
    const reasons = this.#finishReasons.map((reason) => reason ?? (this.#error && 'error'))
    return reasons.filter((reason) => reason !== undefined)
  }

  /** Ends what is not yet finished. Safe to call at any time, any number of times. */
  abort(): void {
    if (this.#isDone) return
    this.#client.abort(this.requestId)
    for (const [index, processor] of this.#processors.entries())
      if (!processor.isFinished) this.#onStep({ requestId: this.requestId, index, tokenIds: [], finish: aborted })
  }

  #onStep(output: StepOutput): void {
    const processor = this.#processors[output.index]
    // the engine may have been a step ahead of a stop string or an abort
    if (this.#isDone || !processor || processor.isFinished) return
    // the prompt counts once, whatever its other completions found
    if (output.index === 0) this.#cachedTokens = output.numCachedTokens ?? this.#cachedTokens
    if (output.promptLogprobs) this.#queue.push({ type: 'prompt', logprobs: this.#named(output.promptLogprobs) })
    this.#observe(output)
    const { events, stopped } = processor.push(output)
    for (const event of events) if (event.type === 'finish') this.#finishReasons[event.index] = event.finishReason
    this.#queue.push(...events)
    if (stopped) this.#client.abort(this.requestId, output.index)
    if (this.#processors.every(({ isFinished }) => isFinished)) {
      this.#queue.push({ type: 'usage', usage: this.usage })
      this.#end()
    } else this.#wake?.()
  }

  #named(raw: readonly RawLogprobs[]): PromptLogprobs {
    return [null, ...raw.map((entry, i) => nameLogprobs(this.#tokenizer, this.promptTokenIds[i + 1]!, entry))]
  }

  #observe({ index, tokenIds, queuedMs, prefillMs }: StepOutput): void {
    if (tokenIds.length === 0) return
    const now = performance.now()
    const { timing } = this
    const last = this.#lastTokenAt[index]
    if (last !== undefined) timing.gaps.push(now - last)
    this.#lastTokenAt[index] = now
    timing.lastTokenAt = now
    if (timing.firstTokenAt !== undefined) return
    timing.firstTokenAt = now
    timing.queuedMs = queuedMs
    timing.prefillMs = prefillMs
  }

  #end(): void {
    this.#isDone = true
    this.timing.endedAt = performance.now()
    this.#client.forget(this.requestId)
    this.#onEnd()
    this.#wake?.()
  }

  [Symbol.asyncIterator](): AsyncGenerator<GenerationEvent, void, undefined> {
    const { n, bestOf } = this.#params
    if (bestOf == null || bestOf === n) return this.#events()
    this.abort()
    throw new SlipwayError(
      'request',
      `bestOf ${bestOf} cannot be streamed: which are best shows at the end; use result()`,
      {
        param: 'bestOf',
      },
    )
  }

  async *#events(): AsyncGenerator<GenerationEvent, void, undefined> {
    if (this.#isRead)
      throw new SlipwayError('internal', `the stream of request ${this.requestId} is read a second time`)
    this.#isRead = true
    try {
      for (;;) {
        const event = this.#queue.shift()
        if (event) yield event
        else if (this.#error) throw this.#error
        else if (this.#isDone) return
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.abort()
    }
  }

  /** Waits for the end and gives the whole answer. */
  async result(): Promise<RequestOutput> {
    const collected = this.#processors.map(() => new Collected())
    let promptLogprobs: PromptLogprobs | undefined
    for await (const event of this.#events())
      if (event.type === 'prompt') promptLogprobs = event.logprobs
      else if (event.type !== 'usage') collected[event.index]!.add(event)
    const { requestId, promptTokenIds, usage } = this
    const outputs = this.#best().map((from, index) => {
      const { cumulativeLogprob } = this.#processors[from]!
      return { index, ...collected[from]!.done(), ...(this.#isRanked && { cumulativeLogprob }) }
    })
    return { requestId, promptTokenIds, ...(promptLogprobs && { promptLogprobs }), outputs, usage }
  }

  /** Whether the engine tells log-probabilities of generated tokens. */
  get #isRanked(): boolean {
    const { logprobs, n, bestOf } = this.#params
    return logprobs != null || (bestOf ?? n) > n
  }

  /** The completions to give back: of the highest log-probability first, where there are more than wanted. */
  #best(): number[] {
    const { n, bestOf } = this.#params
    const all = [...this.#processors.keys()]
    if ((bestOf ?? n) === n) return all
    const score = (i: number): number => this.#processors[i]!.cumulativeLogprob
    return all.sort((a, b) => score(b) - score(a) || a - b).slice(0, n)
  }
}

const aborted = { reason: 'abort', stopReason: null } as const

/** Puts the events of one completion together. */
class Collected {
  #text = ''
  #finish: { finishReason: FinishReason; stopReason: string | number | null; score?: number } = {
    finishReason: 'error',
    stopReason: null,
  }
  readonly #tokenIds: number[] = []
  #logprobs: ChosenLogprob[] | undefined

  add(event: Extract<GenerationEvent, { type: 'delta' | 'finish' }>): void {
    if (event.type === 'finish') {
      const { finishReason, stopReason, score } = event
      this.#finish = { finishReason, stopReason, ...(score !== undefined && { score }) }
      return
    }
    this.#text += event.text
    this.#tokenIds.push(...event.tokenIds)
    if (event.logprobs) (this.#logprobs ??= []).push(...event.logprobs)
  }

  done(): Omit<RequestOutput['outputs'][number], 'index'> {
    return {
      text: this.#text,
      tokenIds: this.#tokenIds,
      ...(this.#logprobs && { logprobs: this.#logprobs }),
      ...this.#finish,
    }
  }
}
