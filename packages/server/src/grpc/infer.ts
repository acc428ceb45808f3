import type { FinishReason, RequestOutput } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { requireModel, type ServerContext } from '../context.ts'
import { requireReady } from '../health.ts'
import { refusal } from '../http/errors.ts'
import type { RequestScope } from '../observe/request-scope.ts'
import { completionSchema, type CompletionRequest } from '../openai/completion-schema.ts'
import { submitCompletions } from '../openai/completions.ts'
import { newEnvelope } from '../openai/envelope.ts'
import { apiFinishReason, type Generations } from '../openai/generations.ts'
import { parseRequest } from '../openai/parse.ts'
import { askingFor, fitting } from '../pooling/ask.ts'
import { classifySchema, embeddingsSchema, poolingParams } from '../pooling/schemas.ts'
import type { ModelInferRequest, ModelInferResponse } from './messages.ts'
import { faceOf, modelVersion, requireVersion, type Face } from './model.ts'
import { bytes, fp32, int64, writeOutputs, type Output } from './output-tensors.ts'
import { readRequest, type InferenceRequest } from './request.ts'
import type { Caller } from './scope.ts'

/** A request for inference from its arrival to its last response. */
export class Inference {
  readonly #context: ServerContext
  readonly #request: ModelInferRequest
  readonly #caller: Caller
  readonly #scope: RequestScope

  constructor(context: ServerContext, request: ModelInferRequest, caller: Caller, scope: RequestScope) {
    this.#context = context
    this.#request = request
    this.#caller = caller
    this.#scope = scope
  }

  /** ModelInfer: the whole answer. */
  async whole(): Promise<ModelInferResponse> {
    const { face, given } = this.#read()
    if (given.stream === true)
      throw refusal('stream: ModelInfer gives whole answers; remove it, or call ModelStreamInfer', { param: 'stream' })
    return this.#response(await this.#outputs(face, given))
  }

  /** ModelStreamInfer: responses with what has come since the one before, the last one marked. */
  async *stream(): AsyncGenerator<ModelInferResponse> {
    const { face, given } = this.#read()
    // Triton's vLLM backend lets the input say so
    if (face.task !== 'generate' || given.stream === false) yield this.#response(await this.#outputs(face, given), true)
    else yield* this.#deltas(given)
  }

  #read(): { face: Face; given: InferenceRequest } {
    requireReady(this.#context)
    const { model_name: name, model_version: version } = this.#request
    if (name === '') throw refusal('model_name: is required', { param: 'model_name' })
    requireModel(this.#context, name)
    requireVersion(name, version)
    const face = faceOf(this.#context)
    return { face, given: readRequest(this.#request, face) }
  }

  #response(outputs: readonly Output[], isFinal?: boolean): ModelInferResponse {
    return {
      model_name: this.#request.model_name,
      model_version: modelVersion,
      id: this.#request.id,
      ...(isFinal !== undefined && { parameters: { triton_final_response: { bool_param: isFinal } } }),
      ...writeOutputs(this.#request, outputs),
    }
  }

  async #outputs(face: Face, given: InferenceRequest): Promise<Output[]> {
    if (face.task !== 'generate') return this.#pooled(face.task, given)
    const { generations } = await this.#submit(given, false)
    const results = await generations.results()
    return generated(results, (reason) => this.#reasonOf(reason))
  }

  async #submit(
    { prompts, promptName, fields }: InferenceRequest,
    stream: boolean,
  ): Promise<{ body: CompletionRequest; generations: Generations }> {
    if (stream && fields['use_beam_search'] === true)
      throw refusal('use_beam_search: a beam search knows its answers at the end; call ModelInfer', {
        param: 'use_beam_search',
      })
    if (stream && fields['best_of'] !== undefined && fields['best_of'] !== (fields['n'] ?? 1))
      throw refusal('best_of: which are best shows at the end; call ModelInfer', { param: 'best_of' })
    const { signal, requestId } = this.#caller
    const given = { ...fields, model: this.#request.model_name, prompt: prompts, stream }
    const body = parseRequest(completionSchema, given)
    const { id } = newEnvelope(this.#context, 'cmpl', body.model)
    const caller = { id, requestId, promptName, signal, scope: this.#scope }
    return { body, generations: await submitCompletions(this.#context, body, caller) }
  }

  async *#deltas(given: InferenceRequest): AsyncGenerator<ModelInferResponse> {
    const { body, generations } = await this.#submit(given, true)
    const { n = 1 } = body
    const numTokens = Array.from({ length: body.prompt.length * n }, () => 0)
    let numOpen = numTokens.length
    for await (const event of generations.events()) {
      if (event.type !== 'delta' && event.type !== 'finish') continue
      const place = event.prompt * n + event.index
      if (event.type === 'delta') {
        const { text, tokenIds } = event
        numTokens[place]! += tokenIds.length
        if (text === '' && tokenIds.length === 0) continue
        const ids = int64('output_ids', tokenIds, [1, tokenIds.length])
        yield this.#response([bytes('text_output', [text]), ids, int64('index', [place])], false)
        continue
      }
      const outputs = [
        bytes('text_output', ['']),
        bytes('finish_reason', [this.#reasonOf(event.finishReason)]),
        int64('completion_tokens', [numTokens[place]!]),
        int64('prompt_tokens', [generations.promptTokenIds(event.prompt).length]),
        int64('index', [place]),
      ]
      yield this.#response(outputs, --numOpen === 0)
    }
  }

  /** As the API names it; ends that no client asked for are errors. */
  #reasonOf(reason: FinishReason): string {
    if (reason === 'abort' && this.#caller.signal.aborted)
      throw refusal('the client has gone, or its deadline has passed', { status: 499, code: 'aborted' })
    return apiFinishReason(reason)
  }

  async #pooled(task: 'embed' | 'classify', { prompts, promptName, fields }: InferenceRequest): Promise<Output[]> {
    const context = this.#context
    const { llm } = context
    const { requestId, signal: gone } = this.#caller
    const given = { ...fields, model: this.#request.model_name, input: prompts }
    const body = parseRequest<EmbeddingBody>(task === 'embed' ? embeddingsSchema : classifySchema, given)
    const params = poolingParams(body)
    const outputs = await askingFor(
      { requestId, gone, scope: this.#scope },
      context,
      body,
      promptName,
      async (options): Promise<Output[]> => {
        const texts = prompts.map((prompt) => fitting(context, prompt, promptName, params))
        const counts = (results: readonly { usage: { promptTokens: number } }[]) =>
          int64(
            'prompt_tokens',
            results.map(({ usage }) => usage.promptTokens),
          )
        if (task === 'embed') {
          const results = await llm.embed(texts, params, options)
          const rows = results.map(({ embedding }) => embedding)
          return [fp32('embedding', rows), counts(results)]
        }
        const results = await llm.classify(texts, params, options)
        const rows = results.map(({ probs }) => probs)
        const labels = results.map(({ label }) => label)
        return [fp32('probs', rows), bytes('label', labels), counts(results)]
      },
    ).catch((error: unknown) => {
      if (gone.aborted && SlipwayError.is(error) && error.details['code'] === 'aborted')
        throw refusal(error.message, { status: 499, code: 'aborted' })
      throw error
    })
    return outputs
  }
}

type EmbeddingBody = Parameters<typeof poolingParams>[0] & Parameters<typeof askingFor>[2]

/** The tensors of whole answers: completions in the order of their prompts. */
function generated(results: readonly RequestOutput[], reasonOf: (reason: FinishReason) => string): Output[] {
  const completions = results.flatMap(({ outputs }) => outputs)
  const longest = Math.max(0, ...completions.map(({ tokenIds }) => tokenIds.length))
  // shorter rows are filled up with what is no token
  const ids = completions.flatMap(({ tokenIds }) => [
    ...tokenIds,
    ...Array.from({ length: longest - tokenIds.length }, () => -1),
  ])
  return [
    bytes(
      'text_output',
      completions.map(({ text }) => text),
    ),
    int64('output_ids', ids, [completions.length, longest]),
    bytes(
      'finish_reason',
      completions.map(({ finishReason }) => reasonOf(finishReason)),
    ),
    int64(
      'completion_tokens',
      completions.map(({ tokenIds }) => tokenIds.length),
    ),
    int64(
      'prompt_tokens',
      results.map(({ promptTokenIds }) => promptTokenIds.length),
    ),
    int64(
      'cached_tokens',
      results.map(({ usage }) => usage.cachedTokens),
    ),
    int64('index', [...completions.keys()]),
  ]
}
