import { randomInt, randomUUID } from 'node:crypto'
import type { ChatMessage, ChatTemplate, Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import type { EngineClient } from './client.ts'
import { EngineSupervisor } from './engine-supervisor.ts'
import type { EngineStats } from './engine.ts'
import { GenerationStream } from './generation-stream.ts'
import { runAll, streamAll, type BatchOptions, type IndexedEvent, type RequestOptions } from './batch.ts'
import { loadFront, type Front } from './load-front.ts'
import { locateModel, type ModelSource } from './locate-model.ts'
import { resolveEngineOptions, type EngineOptions, type ResolvedEngineOptions } from './options.ts'
import type { RequestOutput } from './outputs.ts'
import type { LoadProgress, ModelInfo } from './protocol.ts'
import { resolveParams, type SamplingParams } from './sampling-params.ts'
import { resolveScheduling } from './scheduling-options.ts'

/** Text, or token ids. */
export type Prompt = string | readonly number[]

export interface LLMOptions extends EngineOptions {
  /** Branch, tag or commit on the hub. */
  readonly revision?: string
  readonly cacheDir?: string
  /** Never asks the network. */
  readonly offline?: boolean
  /** File with a Jinja chat template, in place of the model's own. */
  readonly chatTemplate?: string
  readonly onProgress?: (progress: LoadProgress) => void
  /**
   * Told when the engine's thread has died and is started again, how often it was by now, and at last when that is given up;
   * default: a warning of the process.
   */
  readonly onEngineCrash?: (reason: SlipwayError, numRestarts: number) => void
}

export interface ChatOptions extends BatchOptions {
  /** Told to the model through its template. */
  readonly tools?: readonly unknown[]
  /** Further variables of the template, such as `enable_thinking`. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>
  /** False leaves the last message open; default true begins an answer. */
  readonly addGenerationPrompt?: boolean
}

type Streaming = { readonly stream: true }

interface Loaded extends Front {
  readonly info: ModelInfo
}

/**
 * A model ready to answer. Tokenising and text live in this thread; the engine computes in its own.
 *
 * @example
 * const llm = await LLM.load('Qwen/Qwen3-0.6B')
 * const [answer] = await llm.generate(['The capital of France is'], { temperature: 0, maxTokens: 8 })
 */
export class LLM {
  readonly ready: Promise<void>
  readonly #options: ResolvedEngineOptions
  #loaded: Loaded | undefined
  #supervisor: EngineSupervisor | undefined
  #failure: SlipwayError | undefined
  #isClosed = false
  #progress: LoadProgress | undefined

  private constructor(model: string, options: LLMOptions) {
    const { revision, cacheDir, offline, chatTemplate, onProgress, onEngineCrash, ...rest } = options
    this.#options = resolveEngineOptions(rest)
    const report = (progress: LoadProgress): void => {
      this.#progress = progress
      if (!this.#loaded) onProgress?.(progress)
    }
    this.ready = this.#load(model, { revision, cacheDir, offline, chatTemplate }, report, onEngineCrash)
    // a failed load shows in `state`; only those who await `ready` see the rejection
    this.ready.catch((error: unknown) => {
      this.#failure = SlipwayError.is(error) ? error : SlipwayError.fromWire(SlipwayError.toWire(error))
    })
  }

  /** Begins to load and returns at once; `ready` tells when requests can be made. */
  static start(model: string, options: LLMOptions = {}): LLM {
    return new LLM(model, options)
  }

  /** Loads a model: a directory in Hugging Face form, or the name of one on the hub. */
  static async load(model: string, options: LLMOptions = {}): Promise<LLM> {
    const llm = LLM.start(model, options)
    try {
      await llm.ready
    } catch (error) {
      await llm.close()
      throw error
    }
    return llm
  }

  async #load(
    model: string,
    source: Source,
    onProgress: (progress: LoadProgress) => void,
    onCrash: LLMOptions['onEngineCrash'],
  ): Promise<void> {
    const directory = await locateModel(model, source, onProgress)
    if (this.#isClosed) throw new SlipwayError('internal', 'closed while loading')
    const engine = new EngineSupervisor({ model, directory, options: this.#options }, onProgress, onCrash)
    this.#supervisor = engine
    try {
      // while the engine loads in its thread
      const front = await loadFront(directory, source.chatTemplate)
      this.#loaded = { ...front, info: await engine.ready }
    } catch (error) {
      await engine.close()
      throw error
    }
  }

  /** `restarting`: the engine's thread has died, and the next one loads. */
  get state(): 'loading' | 'ready' | 'restarting' | 'failed' | 'closed' {
    if (this.#isClosed) return 'closed'
    if (this.failure) return 'failed'
    if (!this.#loaded) return 'loading'
    return this.#supervisor!.isRestarting || this.#client!.failure ? 'restarting' : 'ready'
  }

  /** Why the state is `failed`. */
  get failure(): SlipwayError | undefined {
    return this.#failure ?? this.#supervisor?.failure
  }

  /** How often the engine's thread was started again. */
  get numRestarts(): number {
    return this.#supervisor?.numRestarts ?? 0
  }

  get #client(): EngineClient | undefined {
    return this.#supervisor?.client
  }

  /** How far loading has come. */
  get progress(): LoadProgress | undefined {
    return this.#progress
  }

  get info(): ModelInfo {
    return this.#parts.info
  }

  get tokenizer(): Tokenizer {
    return this.#parts.tokenizer
  }

  get chatTemplate(): ChatTemplate {
    return this.#parts.chatTemplate
  }

  /** What the model's makers recommend (generation_config.json); a request's own parameters win. */
  get defaultParams(): SamplingParams {
    return this.#parts.defaultParams
  }

  get #parts(): Loaded {
    if (this.#loaded) return this.#loaded
    throw this.#failure ?? new SlipwayError('overload', 'the model is still loading; await `ready`')
  }

  /**
   * Hands one request to the engine. Throws at once if it cannot be honoured: `request` for bad parameters or a prompt
   * that is too long, `overload` when too many wait.
   */
  submit(
    prompt: Prompt,
    params: SamplingParams = {},
    options: RequestOptions & { readonly requestId?: string } = {},
  ): GenerationStream {
    const { info, tokenizer, defaultParams, grammars } = this.#parts
    if (this.failure) throw this.failure
    if (this.state === 'restarting')
      throw new SlipwayError('overload', 'the engine is being started again; try again in a moment', {
        status: 503,
        code: 'engine_restarting',
        retryAfter: 1,
      })
    const client = this.#client!
    const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined))
    const scheduling = resolveScheduling(options)
    const resolved = resolveParams({ ...defaultParams, ...given }, info)
    const promptTokenIds = typeof prompt === 'string' ? tokenizer.encode(prompt) : checkIds(prompt, info.vocabSize)
    const room = info.maxModelLen - promptTokenIds.length
    if (promptTokenIds.length === 0)
      throw new SlipwayError('request', 'the prompt is empty; give at least one token', { param: 'prompt' })
    if (room < 1)
      throw new SlipwayError(
        'request',
        `the prompt has ${promptTokenIds.length} tokens, but the model takes ${info.maxModelLen} in prompt and answer together; shorten it`,
        {
          param: 'prompt',
          code: 'context_length_exceeded',
          promptTokens: promptTokenIds.length,
          maxModelLen: info.maxModelLen,
        },
      )
    const { maxNumSeqs, maxWaitingRequests } = this.#options
    if (client.numRequests >= maxNumSeqs + maxWaitingRequests)
      throw new SlipwayError('overload', `${client.numRequests} requests are under way; try again later`, {
        retryAfter: client.secondsPerRequest,
      })
    const request = {
      requestId: options.requestId ?? randomUUID(),
      promptTokenIds,
      params: {
        ...resolved,
        seed: resolved.seed ?? randomInt(2 ** 47),
        maxTokens: Math.min(resolved.maxTokens ?? room, room),
      },
      scheduling,
    }
    const constraint = resolved.structuredOutputs
    const before = constraint && grammars.check(constraint.source)
    return new GenerationStream(client, tokenizer, request, options.signal, before)
  }

  /**
   * Tries what the parameters ask to compile, which `submit` does as well, but then the fault comes by the stream.
   * Rejects with `request` if it cannot be used.
   */
  async prepare(params: SamplingParams): Promise<void> {
    const { info, grammars } = this.#parts
    const { structuredOutputs } = params
    const constraint = structuredOutputs && resolveParams({ structuredOutputs }, info).structuredOutputs
    if (constraint) await grammars.check(constraint.source)
  }

  /** Completes a prompt, or many; with `stream` events come as they are made. */
  generate(prompt: Prompt, params: SamplingParams | undefined, options: BatchOptions & Streaming): GenerationStream
  generate(
    prompts: readonly Prompt[],
    params: SamplingParams | undefined,
    options: BatchOptions & Streaming,
  ): AsyncIterable<IndexedEvent>
  generate(prompt: Prompt, params?: SamplingParams, options?: BatchOptions): Promise<RequestOutput>
  generate(prompts: readonly Prompt[], params?: SamplingParams, options?: BatchOptions): Promise<RequestOutput[]>
  generate(
    prompts: Prompt | readonly Prompt[],
    params: SamplingParams = {},
    options: BatchOptions & { readonly stream?: boolean } = {},
  ): GenerationStream | AsyncIterable<IndexedEvent> | Promise<RequestOutput | RequestOutput[]> {
    const submit = (prompt: Prompt): GenerationStream => this.submit(prompt, params, options)
    if (options.stream) return isOne(prompts) ? submit(prompts) : streamAll(prompts, submit, this.#width)
    return isOne(prompts)
      ? runAll([prompts], submit, 1, options).then(([output]) => output!)
      : runAll(prompts, submit, this.#width, options)
  }

  /** Answers a conversation, or many, through the model's chat template. */
  chat(
    messages: readonly ChatMessage[],
    params: SamplingParams | undefined,
    options: ChatOptions & Streaming,
  ): GenerationStream
  chat(messages: readonly ChatMessage[], params?: SamplingParams, options?: ChatOptions): Promise<RequestOutput>
  chat(
    conversations: readonly (readonly ChatMessage[])[],
    params?: SamplingParams,
    options?: ChatOptions,
  ): Promise<RequestOutput[]>
  chat(
    messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    params: SamplingParams = {},
    options: ChatOptions & { readonly stream?: boolean } = {},
  ): GenerationStream | Promise<RequestOutput | RequestOutput[]> {
    if (isMany(messages))
      return this.generate(
        messages.map((conversation) => this.renderChat(conversation, options)),
        params,
        options,
      )
    const ids = this.renderChat(messages, options)
    if (options.stream) return this.generate(ids, params, { ...options, stream: true })
    return this.generate(ids, params, options)
  }

  /** The token ids that the chat template makes of a conversation. */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): number[] {
    const { chatTemplate, tokenizer } = this.#parts
    const { tools, chatTemplateKwargs, addGenerationPrompt = true } = options
    const text = chatTemplate.render(messages, { addGenerationPrompt, tools, extra: chatTemplateKwargs })
    return tokenizer.encode(text, { addSpecialTokens: false })
  }

  /** Requests of a long list kept under way at once: enough to fill every step. */
  get #width(): number {
    return Math.min(2 * this.#options.maxNumSeqs, this.#options.maxWaitingRequests)
  }

  /** Forgets all cached prefixes, before the next step; requests under way go on. */
  async resetPrefixCache(): Promise<void> {
    await this.ready
    this.#client!.resetPrefixCache()
  }

  async stats(): Promise<EngineStats> {
    await this.ready
    return this.#client!.stats()
  }

  /**
   * Ends the engine's thread where it stands, and starts another: for an engine that hangs. Requests under way end with an
   * error.
   */
  async restartEngine(): Promise<void> {
    await this.ready
    await this.#supervisor!.kill()
  }

  /** Ends all requests and the engine's thread. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#loaded?.grammars.close()
    await this.#supervisor?.close()
    await this.ready.catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

interface Source extends ModelSource {
  readonly chatTemplate: string | undefined
}

function isOne(prompts: Prompt | readonly Prompt[]): prompts is Prompt {
  return typeof prompts === 'string' || typeof prompts[0] === 'number'
}

function isMany(
  messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
): messages is readonly (readonly ChatMessage[])[] {
  return Array.isArray(messages[0])
}

function checkIds(ids: readonly number[], vocabSize: number): readonly number[] {
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
  if (bad === undefined) return ids
  throw new SlipwayError('request', `token id ${bad} is outside the vocabulary of ${vocabSize}`, { param: 'prompt' })
}
