import type {
  BeamSearchParams,
  FinishReason,
  GenerationEvent,
  GenerationStream,
  Prompt,
  RequestOutput,
  SamplingParams,
  SchedulingOptions,
  Usage,
} from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { ServerContext } from '../context.ts'
import type { RequestScope } from '../observe/request-scope.ts'
import { refusal, unavailable } from '../http/errors.ts'
import { inApiTerms } from './fields.ts'

export interface Submission {
  readonly id: string
  /** The `x-request-id` of the HTTP request. */
  readonly requestId?: string
  readonly prompts: readonly Prompt[]
  readonly params: SamplingParams
  /** In place of sampling. */
  readonly beamSearch?: BeamSearchParams | undefined
  readonly scheduling: SchedulingOptions
  /** Name of the adapter that answers; absent: the model alone. */
  readonly lora?: string
  /** The length limit that the client asked for, if it did; `params` may hold a default of ours. */
  readonly askedMaxTokens: number | undefined
  /** What the body calls these, for messages. */
  readonly names: { readonly prompt: string; readonly maxTokens: string }
  /** Aborted when the client goes. */
  readonly signal: AbortSignal
  /** The HTTP request that this belongs to. */
  readonly scope: RequestScope
}

/** An event with the place of its prompt in the request. */
export type PromptEvent = GenerationEvent & { readonly prompt: number }

/** The generations of one HTTP request, one for each prompt. */
export class Generations {
  readonly #streams: readonly GenerationStream[]
  readonly #open: ServerContext['open']
  readonly #names: Submission['names']
  readonly #scope: RequestScope
  readonly #letGo: () => void
  /** Names of the request: of its answer, and of the client. */
  readonly ids: readonly string[]

  private constructor(
    ids: readonly string[],
    streams: readonly GenerationStream[],
    open: ServerContext['open'],
    names: Submission['names'],
    scope: RequestScope,
  ) {
    this.ids = ids
    this.#streams = streams
    this.#open = open
    this.#names = names
    this.#scope = scope
    this.#letGo = scope.hold()
    open.add(this)
  }

  /** Hands all prompts to the engine, or none: a fault of one ends the others. */
  static submit(
    { llm, open }: ServerContext,
    { id, requestId, prompts, params, beamSearch, scheduling, lora, askedMaxTokens, names, signal, scope }: Submission,
  ): Generations {
    const streams: GenerationStream[] = []
    // a prefix takes its part
    const numGiven = llm.loras.find(({ name }) => name === lora)?.numVirtualTokens ?? 0
    const maxModelLen = llm.info.maxModelLen - numGiven
    try {
      for (const [i, prompt] of prompts.entries()) {
        const options = { ...scheduling, lora, signal, requestId: `${id}-${i}` }
        const stream = beamSearch
          ? llm.submitBeamSearch(prompt, beamSearch, options)
          : llm.submit(prompt, params, options)
        streams.push(stream)
        if (askedMaxTokens !== undefined)
          checkRoom(stream.promptTokenIds.length, askedMaxTokens, maxModelLen, names.maxTokens)
      }
    } catch (error) {
      for (const stream of streams) stream.abort()
      throw withApiNames(error, names)
    }
    return new Generations(requestId === undefined ? [id] : [id, requestId], streams, open, names, scope)
  }

  get usage(): Usage {
    const sum = (key: keyof Usage): number => this.#streams.reduce((total, { usage }) => total + usage[key], 0)
    return {
      promptTokens: sum('promptTokens'),
      completionTokens: sum('completionTokens'),
      cachedTokens: sum('cachedTokens'),
    }
  }

  promptTokenIds(prompt: number): readonly number[] {
    return this.#streams[prompt]!.promptTokenIds
  }

  /** Ends what still runs; its readers see an `abort`. */
  abort(): void {
    for (const stream of this.#streams) stream.abort()
  }

  /** Nobody reads any more. Safe to call at any time, any number of times. */
  release(): void {
    this.abort()
    if (!this.#open.delete(this)) return
    for (const stream of this.#streams) this.#scope.add(stream)
    this.#letGo()
  }

  async results(): Promise<RequestOutput[]> {
    try {
      return await Promise.all(this.#streams.map((stream) => stream.result()))
    } catch (error) {
      throw withApiNames(error, this.#names)
    } finally {
      this.release()
    }
  }

  async *#onlyEvents(): AsyncGenerator<PromptEvent, void, undefined> {
    try {
      for await (const event of this.#streams[0]!) yield { ...event, prompt: 0 }
    } catch (error) {
      throw withApiNames(error, this.#names)
    } finally {
      this.release()
    }
  }

  /**
   * Events of all generations as they come. Each one is asked for its next event only when the last was taken, so a
   * slow reader holds up itself and fills no memory here.
   */
  async *events(): AsyncGenerator<PromptEvent, void, undefined> {
    if (this.#streams.length === 1) return yield* this.#onlyEvents()
    const arrived: { prompt: number; result: IteratorResult<GenerationEvent> }[] = []
    let error: unknown
    let wake: (() => void) | undefined
    const sources = this.#streams.map((stream) => stream[Symbol.asyncIterator]())
    const ask = (prompt: number): void => {
      sources[prompt]!.next()
        .then((result) => arrived.push({ prompt, result }))
        .catch((reason: unknown) => (error ??= reason))
        .finally(() => wake?.())
    }
    for (const prompt of sources.keys()) ask(prompt)
    try {
      for (let open = sources.length; open > 0;) {
        const next = arrived.shift()
        if (next?.result.done) open--
        else if (next) {
          yield { ...next.result.value, prompt: next.prompt }
          ask(next.prompt)
        } else if (error !== undefined) throw withApiNames(error, this.#names)
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      this.release()
    }
  }
}

/** The reason in OpenAI's terms; ends that it has no word for are errors. */
export function apiFinishReason(reason: FinishReason): 'stop' | 'length' {
  if (reason === 'stop' || reason === 'length') return reason
  if (reason === 'abort')
    throw unavailable('the server ended this request: it shuts down, or its administrator asked for it', 'aborted')
  if (reason === 'timeout')
    throw refusal('the request took longer than its timeout; raise it, or ask for fewer tokens', {
      param: 'timeout',
      status: 408,
      code: 'timeout',
    })
  throw new SlipwayError('internal', 'the engine failed during a request')
}

/** The engine would silently cut the limit down to what the model can take; a client that asked for more gets to know. */
function checkRoom(promptTokens: number, maxTokens: number, maxModelLen: number, name: string): void {
  const room = maxModelLen - promptTokens
  if (maxTokens <= room) return
  throw refusal(
    `${name} ${maxTokens} and the prompt of ${promptTokens} tokens are more than the ${maxModelLen} tokens of this model; at most ${room} are left`,
    { param: name, code: 'context_length_exceeded' },
  )
}

function withApiNames(error: unknown, names: Submission['names']): unknown {
  if (!SlipwayError.is(error) || error.kind !== 'request') return error
  const { param } = error.details
  return new SlipwayError('request', inApiTerms(error.message, names.maxTokens), {
    ...error.details,
    ...(typeof param === 'string' && { param: param === 'prompt' ? names.prompt : inApiTerms(param, names.maxTokens) }),
  })
}
