import { SlipwayError } from '@slipway/tensor'
import { Controlled } from '../controlled.ts'
import { runAll, type BatchOptions, type RequestOptions } from '../batch.ts'
import type { Usage } from '../outputs.ts'
import { isOne, type PlainPrompt } from '../prompt.ts'
import type { ModelInfo } from '../protocol.ts'
import { tasksOf, type PoolingParams, type PoolingTaskName } from './pooling-params.ts'
import type { PoolingOutput, PoolingTask } from './pooling-task.ts'

/** Two texts that the tokenizer joins into one, such as a query and a document. */
export interface PromptPair {
  readonly first: string
  readonly second: string
}

interface Output {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  readonly usage: Usage
}

export interface EmbeddingOutput extends Output {
  readonly embedding: Float32Array
}

export interface ClassOutput extends Output {
  /** By class; probabilities unless the activation says otherwise. */
  readonly probs: Float32Array
  /** Name of the highest class. */
  readonly label: string
}

export interface ScoreOutput {
  readonly score: number
  readonly usage: Usage
}

/** What can be asked of models that do not continue texts. */
export abstract class PoolingApi extends Controlled {
  abstract get info(): ModelInfo

  /** Requests of a long list kept under way at once. */
  abstract get width(): number

  abstract submitPooling(
    task: PoolingTaskName,
    prompt: PlainPrompt | PromptPair,
    params?: PoolingParams,
    options?: RequestOptions & { readonly requestId?: string },
  ): PoolingTask

  /** The embedding of a text, or of many. */
  embed(text: PlainPrompt, params?: PoolingParams, options?: BatchOptions): Promise<EmbeddingOutput>
  embed(texts: readonly PlainPrompt[], params?: PoolingParams, options?: BatchOptions): Promise<EmbeddingOutput[]>
  embed(
    texts: PlainPrompt | readonly PlainPrompt[],
    params?: PoolingParams,
    options?: BatchOptions,
  ): Promise<EmbeddingOutput | EmbeddingOutput[]> {
    return this.#ask('embed', texts, params, options, ({ values, requestId, promptTokenIds, usage }) => ({
      requestId,
      promptTokenIds,
      embedding: values,
      usage,
    }))
  }

  /** The class of a text, or of many, with a number for every class. */
  classify(text: PlainPrompt, params?: PoolingParams, options?: BatchOptions): Promise<ClassOutput>
  classify(texts: readonly PlainPrompt[], params?: PoolingParams, options?: BatchOptions): Promise<ClassOutput[]>
  classify(
    texts: PlainPrompt | readonly PlainPrompt[],
    params?: PoolingParams,
    options?: BatchOptions,
  ): Promise<ClassOutput | ClassOutput[]> {
    return this.#ask('classify', texts, params, options, ({ values, requestId, promptTokenIds, usage }) => ({
      requestId,
      promptTokenIds,
      probs: values,
      label: this.labelOf(values),
      usage,
    }))
  }

  /** A vector for every token of a text, or of many: its state, or in models with classes its scores (rewards). */
  encode(text: PlainPrompt, params?: PoolingParams, options?: BatchOptions): Promise<PoolingOutput>
  encode(texts: readonly PlainPrompt[], params?: PoolingParams, options?: BatchOptions): Promise<PoolingOutput[]>
  encode(
    texts: PlainPrompt | readonly PlainPrompt[],
    params?: PoolingParams,
    options?: BatchOptions,
  ): Promise<PoolingOutput | PoolingOutput[]> {
    const task = this.info.pooling && this.info.pooling.labels.length > 0 ? 'token_classify' : 'token_embed'
    return this.#ask(task, texts, params, options, (output) => output)
  }

  /** Any task on many texts, as the engine gives it. */
  pool(
    task: PoolingTaskName,
    texts: readonly PlainPrompt[],
    params: PoolingParams = {},
    options: BatchOptions = {},
  ): Promise<PoolingOutput[]> {
    return runAll(texts, (text) => this.submitPooling(task, text, params, options), this.width, options)
  }

  /** The first of the tasks that the model can do. */
  get ownTask(): PoolingTaskName {
    return this.info.pooling ? tasksOf(this.info.pooling)[0]! : 'embed'
  }

  /** Name of the class with the highest number. */
  labelOf(probs: Float32Array): string {
    const { labels = [], returnedLabels } = this.info.pooling ?? {}
    const best = probs.reduce((at, value, i) => (value > probs[at]! ? i : at), 0)
    return labels[returnedLabels?.[best] ?? best] ?? ''
  }

  /**
   * How well each document fits its query: what a cross-encoder says of the two, or the cosine of their embeddings. A
   * single query goes with all documents; of several, each goes with the document at its place.
   */
  async score(
    queries: string | readonly string[],
    documents: string | readonly string[],
    params: PoolingParams = {},
    options: BatchOptions = {},
  ): Promise<ScoreOutput[]> {
    const list = typeof documents === 'string' ? [documents] : documents
    const asked = typeof queries === 'string' ? [queries] : queries
    if (list.length === 0 || (asked.length !== 1 && asked.length !== list.length))
      throw new SlipwayError(
        'request',
        `${asked.length} queries and ${list.length} documents: give one query, or as many as documents`,
        { param: 'documents' },
      )
    const { pooling } = this.info
    if (pooling && pooling.labels.length === 0) return this.#compare(asked, list, params, options)
    const pairs = list.map((second, i) => ({ first: asked[i] ?? asked[0]!, second }))
    const submit = (pair: PromptPair): PoolingTask => this.submitPooling('score', pair, params, options)
    const outputs = await runAll(pairs, submit, this.width, options)
    return outputs.map(({ values, usage }) => ({ score: values[0]!, usage }))
  }

  /** Cosines; a query that goes with several documents is embedded once, and its tokens count with the first. */
  async #compare(
    queries: readonly string[],
    documents: readonly string[],
    params: PoolingParams,
    options: BatchOptions,
  ): Promise<ScoreOutput[]> {
    const outputs = await this.embed([...queries, ...documents], params, options)
    return documents.map((_, i) => {
      const query = outputs[queries.length === 1 ? 0 : i]!
      const document = outputs[queries.length + i]!
      const counts = [document.usage, ...(i < queries.length ? [query.usage] : [])]
      const sum = (key: keyof Usage): number => counts.reduce((total, usage) => total + usage[key], 0)
      return {
        score: cosine(query.embedding, document.embedding),
        usage: {
          promptTokens: sum('promptTokens'),
          completionTokens: 0,
          cachedTokens: sum('cachedTokens'),
        },
      }
    })
  }

  #ask<R>(
    task: PoolingTaskName,
    texts: PlainPrompt | readonly PlainPrompt[],
    params: PoolingParams = {},
    options: BatchOptions = {},
    finish: (output: PoolingOutput) => R,
  ): Promise<R | R[]> {
    return isOne(texts)
      ? this.pool(task, [texts], params, options).then(([output]) => finish(output!))
      : this.pool(task, texts, params, options).then((outputs) => outputs.map(finish))
  }
}

function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0
  let squaresA = 0
  let squaresB = 0
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    squaresA += a[i]! ** 2
    squaresB += b[i]! ** 2
  }
  return dot / Math.max(Math.sqrt(squaresA * squaresB), 1e-24)
}
