import type { ChatMessage, ChatTemplate, Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { toChatOutput, type ChatOutput } from './chat/chat-output.ts'
import { createOutputFormats, type OutputFormats, type ParserNames } from './chat/output-formats.ts'
import { planChat, type ChatParams, type ChatPlan } from './chat/plan-chat.ts'
import { resolveBeamSearch, type BeamSearchParams, type ResolvedBeamSearch } from './beam-search-params.ts'
import type { EngineClient } from './client.ts'
import { EngineSupervisor } from './engine-supervisor.ts'
import { generationRequest } from './generation-request.ts'
import { GenerationStream } from './generation-stream.ts'
import { runAll, streamAll, told, type BatchOptions, type IndexedEvent, type RequestOptions } from './batch.ts'
import { loadFront, type Front } from './load-front.ts'
import { locateModel, type ModelSource } from './locate-model.ts'
import type { LLMOptions } from './llm-options.ts'
import { resolveEngineOptions, type ResolvedEngineOptions } from './options.ts'
import type { RequestOutput } from './outputs.ts'
import type { LoadProgress, ModelInfo } from './protocol.ts'
import { PoolingApi, type PromptPair } from './pooling/pooling-api.ts'
import type { PoolingParams, PoolingTaskName } from './pooling/pooling-params.ts'
import { PoolingTask } from './pooling/pooling-task.ts'
import { poolingEngineRequest, requireGenerating } from './pooling/pooling-request.ts'
import { isOne, type PlainPrompt, type Prompt } from './prompt.ts'
import { maxWaitingPerUser, requireRoom } from './queue-room.ts'
import { resolveParams, type SamplingParams } from './sampling-params.ts'

export type { LLMOptions } from './llm-options.ts'

export interface ChatOptions extends BatchOptions, ChatParams, ParserNames {}

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
export class LLM extends PoolingApi {
  readonly ready: Promise<void>
  readonly #options: ResolvedEngineOptions
  #loaded: Loaded | undefined
  #supervisor: EngineSupervisor | undefined
  #failure: SlipwayError | undefined
  #isClosed = false
  #progress: LoadProgress | undefined
  /** By the names of their parsers. */
  readonly #formats = new Map<string, OutputFormats>()

  private constructor(model: string, options: LLMOptions) {
    super()
    const { revision, cacheDir, offline, chatTemplate, loraModules = {}, onProgress, onEngineCrash, ...rest } = options
    const withLora = Object.keys(loraModules).length > 0 ? { enableLora: true } : {}
    this.#options = resolveEngineOptions({ ...rest, ...withLora })
    const report = (progress: LoadProgress): void => {
      this.#progress = progress
      if (!this.#loaded) onProgress?.(progress)
    }
    const source = { revision, cacheDir, offline, chatTemplate }
    this.ready = this.#load(model, source, loraModules, report, onEngineCrash)
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
    adapters: Readonly<Record<string, string>>,
    onProgress: (progress: LoadProgress) => void,
    onCrash: LLMOptions['onEngineCrash'],
  ): Promise<void> {
    const directory = await locateModel(model, source, onProgress)
    if (this.#isClosed) throw new SlipwayError('internal', 'closed while loading')
    const setup = { model, directory, options: this.#options }
    const engine = new EngineSupervisor(setup, onProgress, onCrash, (client) => this.restore(client))
    this.#supervisor = engine
    try {
      // while the engine loads in its thread
      const front = await loadFront(directory, source.chatTemplate)
      const info = await engine.ready
      for (const [name, path] of Object.entries(adapters)) await this.loadLoraInto(engine.client, name, path)
      this.#loaded = { ...front, info }
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
    const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined))
    return this.#submit(prompt, { ...this.defaultParams, ...given }, options)
  }

  /** The same for a beam search, whose answers come at its end, best first. */
  submitBeamSearch(
    prompt: Prompt,
    params: BeamSearchParams,
    options: RequestOptions & { readonly requestId?: string } = {},
  ): GenerationStream {
    const { beamSearch, sampling } = resolveBeamSearch(params, this.#options.maxNumSeqs)
    return this.#submit(prompt, sampling, options, beamSearch)
  }

  #submit(
    prompt: Prompt,
    params: SamplingParams,
    options: RequestOptions & { readonly requestId?: string },
    beamSearch?: ResolvedBeamSearch,
  ): GenerationStream {
    const { info, tokenizer, grammars } = this.#parts
    const client = this.#requireClient()
    requireGenerating(info)
    const { earlyStopConfig } = this.#options
    const adapter = options.lora === undefined ? undefined : this.adapterNamed(options.lora)
    const request = generationRequest({
      prompt,
      params,
      options,
      info,
      tokenizer,
      earlyStopConfig,
      adapter,
      beamSearch,
    })
    requireRoom(client, request.scheduling.user, this.#options)
    const constraint = request.params.structuredOutputs
    const before = constraint && grammars.check(constraint.source)
    return new GenerationStream(client, tokenizer, request, options.signal, before)
  }

  /** The engine, where it takes requests now. */
  #requireClient(): EngineClient {
    if (this.failure) throw this.failure
    if (this.state === 'restarting')
      throw new SlipwayError('overload', 'the engine is being started again; try again in a moment', {
        status: 503,
        code: 'engine_restarting',
        retryAfter: 1,
      })
    this.requireAwake()
    return this.#client!
  }

  /**
   * Hands one text, or two that the tokenizer joins, to the engine for what its states come to. Throws as `submit`, and
   * when the model cannot do the task.
   */
  submitPooling(
    task: PoolingTaskName,
    prompt: PlainPrompt | PromptPair,
    params: PoolingParams = {},
    options: RequestOptions & { readonly requestId?: string } = {},
  ): PoolingTask {
    const { info, tokenizer } = this.#parts
    const client = this.#requireClient()
    const request = poolingEngineRequest({ task, prompt, params, info, tokenizer, options })
    requireRoom(client, request.scheduling.user, this.#options)
    return new PoolingTask(client, request, options.signal)
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
    const submitTold = (prompt: Prompt): GenerationStream => told(submit(prompt), options)
    const { bestOf, n = 1 } = params
    if (options.stream && bestOf != null && bestOf !== n)
      throw new SlipwayError('request', `bestOf ${bestOf} cannot be streamed; leave out stream, or bestOf`, {
        param: 'bestOf',
      })
    if (options.stream) return isOne(prompts) ? submitTold(prompts) : streamAll(prompts, submitTold, this.width)
    return isOne(prompts)
      ? runAll([prompts], submit, 1, options).then(([output]) => output!)
      : runAll(prompts, submit, this.width, options)
  }

  /** Searches the most probable answers of a prompt, or of many, in place of sampling. */
  beamSearch(prompt: Prompt, params: BeamSearchParams, options?: BatchOptions): Promise<RequestOutput>
  beamSearch(prompts: readonly Prompt[], params: BeamSearchParams, options?: BatchOptions): Promise<RequestOutput[]>
  beamSearch(
    prompts: Prompt | readonly Prompt[],
    params: BeamSearchParams,
    options: BatchOptions = {},
  ): Promise<RequestOutput | RequestOutput[]> {
    const submit = (prompt: Prompt): GenerationStream => this.submitBeamSearch(prompt, params, options)
    return isOne(prompts)
      ? runAll([prompts], submit, 1, options).then(([output]) => output!)
      : runAll(prompts, submit, this.width, options)
  }

  /**
   * Answers a conversation, or many, through the model's chat template. Whole answers come with their parts: reasoning,
   * content and tool calls. A stream carries the text as it is; `planChat` gives a reader for it.
   */
  chat(
    messages: readonly ChatMessage[],
    params: SamplingParams | undefined,
    options: ChatOptions & Streaming,
  ): GenerationStream
  chat(messages: readonly ChatMessage[], params?: SamplingParams, options?: ChatOptions): Promise<ChatOutput>
  chat(
    conversations: readonly (readonly ChatMessage[])[],
    params?: SamplingParams,
    options?: ChatOptions,
  ): Promise<ChatOutput[]>
  chat(
    messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    params: SamplingParams = {},
    options: ChatOptions & { readonly stream?: boolean } = {},
  ): GenerationStream | Promise<ChatOutput | ChatOutput[]> {
    const submit = (plan: ChatPlan): GenerationStream =>
      this.submit(plan.prompt, { ...params, ...plan.params }, options)
    const plan = (conversation: readonly ChatMessage[]): ChatPlan => this.planChat(conversation, options, params)
    if (!isMany(messages) && options.stream) return told(submit(plan(messages)), options)
    const plans = (isMany(messages) ? messages : [messages]).map(plan)
    const outputs = runAll(plans, submit, isMany(messages) ? this.width : 1, options).then((all) =>
      all.map((output, i) => toChatOutput(output, plans[i]!)),
    )
    return isMany(messages) ? outputs : outputs.then(([output]) => output!)
  }

  /**
   * What `chat` asks of the engine, and readers for its answers. `formats` are those that the options name, where they
   * are known already. Throws `request` for what the model cannot do.
   */
  planChat(
    messages: readonly ChatMessage[],
    options: ChatParams & ParserNames = {},
    params: SamplingParams = {},
    formats: OutputFormats = this.#formatsOf(options),
  ): ChatPlan {
    return planChat(this.#parts, formats, messages, options, params)
  }

  #formatsOf({ reasoningParser, toolCallParser }: ParserNames): OutputFormats {
    const key = JSON.stringify([reasoningParser, toolCallParser])
    const formats =
      this.#formats.get(key) ?? createOutputFormats(() => this.chatTemplate, { reasoningParser, toolCallParser })()
    this.#formats.set(key, formats)
    return formats
  }

  /** The token ids that the chat template makes of a conversation. */
  renderChat(messages: readonly ChatMessage[], options: ChatParams = {}): readonly number[] {
    return this.planChat(messages, options).prompt
  }

  /** Requests of a long list kept under way at once: enough to fill every step. */
  get width(): number {
    const { maxNumSeqs, maxWaitingRequests } = this.#options
    return Math.min(2 * maxNumSeqs, maxWaitingRequests, maxNumSeqs + maxWaitingPerUser(this.#options))
  }

  protected override async client(): Promise<EngineClient> {
    await this.ready
    return this.#client!
  }

  protected override set loadedInfo(info: ModelInfo) {
    this.#loaded = { ...this.#parts, info }
    this.#supervisor!.directory = info.directory
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

function isMany(
  messages: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
): messages is readonly (readonly ChatMessage[])[] {
  return Array.isArray(messages[0])
}
