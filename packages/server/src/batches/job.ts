import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { SlipwayError } from '@slipway/tensor'
import type { Logger } from 'pino'
import { AnswersFile, type AnswerObject } from './answers-file.ts'
import { inParallel, type LineReply, type LineRequest } from './ask-line.ts'
import type { BatchLine } from './line.ts'
import { checkLines, errorOf, requestLines, type LineRules } from './lines.ts'
import { unixNow, type ApiBatch, type BatchError, type BatchRecord } from './records.ts'
import type { BatchStore } from './store.ts'

/** Why a batch stops before its last answer: the server ends and goes on with it later, or it is over. */
type Halt = 'stopped' | 'cancelled' | 'expired' | 'failed'

/** What a batch needs of its server. */
export interface Workshop extends Pick<LineRules, 'maxLines' | 'maxLineBytes' | 'requireModel'> {
  readonly store: BatchStore
  readonly log: Logger
  /** Lines that may be under way at once. */
  readonly width: number
  /** Resolves once there is a model, or `signal` comes. */
  readonly untilReady: (signal: AbortSignal) => Promise<void>
  readonly ask: (batch: BatchRecord, request: LineRequest, signal: AbortSignal) => Promise<LineReply>
}

interface Answers {
  readonly outputs: AnswersFile<true>
  readonly errors: AnswersFile<true>
  /** The names of all lines that either has an answer to. */
  readonly names: Set<string>
}

/** One batch from its first check to its last file. Where it is stands on the disk, so that it can be taken up again. */
export class BatchJob {
  readonly #shop: Workshop
  readonly #halt = new AbortController()
  readonly #timer: NodeJS.Timeout
  #record: BatchRecord
  /** What went wrong with the batch as a whole. */
  #fault: BatchError | undefined
  #numCompleted = 0
  #numFailed = 0

  constructor(record: BatchRecord, shop: Workshop) {
    this.#record = record
    this.#shop = shop
    const { status, expires_at, request_counts } = record.api
    this.#numCompleted = request_counts.completed
    this.#numFailed = request_counts.failed
    this.#timer = setTimeout(() => this.halt('expired'), expires_at * 1000 - Date.now()).unref()
    if (status === 'cancelling') this.halt('cancelled')
  }

  /** With the counts of this moment. */
  get api(): ApiBatch {
    const { api } = this.#record
    const counts = { ...api.request_counts, completed: this.#numCompleted, failed: this.#numFailed }
    return { ...api, request_counts: counts }
  }

  get owner(): string {
    return this.#record.owner
  }

  /** Resolves when the batch is not to wait for its turn any more. */
  get halted(): Promise<void> {
    const { signal } = this.#halt
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  }

  halt(why: Halt): void {
    this.#halt.abort(why)
  }

  async cancel(): Promise<void> {
    const { status } = this.#record.api
    if (status !== 'validating' && status !== 'in_progress') return
    await this.#update({ status: 'cancelling', cancelling_at: unixNow() })
    this.halt('cancelled')
  }

  /** Looks at all lines; false if the batch is over. */
  check(): Promise<boolean> {
    return this.#guarded(async () => {
      if (this.#record.api.status !== 'validating') return true
      const { signal } = this.#halt
      await this.#shop.untilReady(signal)
      const { endpoint, input_file_id: input } = this.#record.api
      const { numLines, errors } = await checkLines(this.#shop.store.read(input), { ...this.#shop, endpoint, signal })
      if (signal.aborted) return this.#end(this.#why)
      if (errors.length > 0) return this.#end('failed', errors)
      const request_counts = { total: numLines, completed: 0, failed: 0 }
      await this.#update({ status: 'in_progress', in_progress_at: unixNow(), request_counts })
      return true
    })
  }

  /** Answers what has no answer yet. */
  answer(): Promise<boolean> {
    return this.#guarded(async () => {
      // one that was cancelled before it was checked has no lines to speak of
      if (this.#record.api.in_progress_at === null) return this.#end(this.#why)
      const answers = await this.#open()
      let why: Halt | undefined
      try {
        await inParallel(this.#openLines(answers), this.#shop.width, this.#halt.signal, (line) =>
          this.#answerLine(line, answers),
        )
        why = this.#why
        if (why === 'cancelled' || why === 'expired') await this.#refuseRest(why, answers)
        if (why === undefined) await this.#update({ status: 'finalizing', finalizing_at: unixNow() })
      } finally {
        await Promise.all([answers.outputs.close(), answers.errors.close()])
      }
      return this.#end(why, this.#fault ? [this.#fault] : [])
    })
  }

  get #why(): Halt | undefined {
    return this.#halt.signal.reason as Halt | undefined
  }

  async #open(): Promise<Answers> {
    const { store } = this.#shop
    const keep = (): true => true
    const { outputId, errorId } = this.#record
    const before = store.sizeOf(outputId) + store.sizeOf(errorId)
    const outputs = await AnswersFile.open(store.contentPath(outputId), keep, true)
    const errors = await AnswersFile.open(store.contentPath(errorId), keep, true)
    store.release(before - outputs.bytes - errors.bytes)
    this.#numCompleted = outputs.answered.size
    this.#numFailed = errors.answered.size
    return { outputs, errors, names: new Set([...outputs.answered.keys(), ...errors.answered.keys()]) }
  }

  async *#openLines({ names }: Answers): AsyncGenerator<BatchLine> {
    const { endpoint, input_file_id: input } = this.#record.api
    for await (const { line } of requestLines(this.#shop.store.read(input), endpoint, this.#shop.maxLineBytes))
      if (line && !names.has(line.id)) yield line
  }

  async #answerLine(line: BatchLine, answers: Answers): Promise<void> {
    const { signal } = this.#halt
    try {
      const { status, requestId, body } = await this.#shop.ask(this.#record, line, signal)
      // what was cut off is asked again, or told as such
      if (signal.aborted) return
      const response = { status_code: status, request_id: requestId, body }
      await this.#write(answers, status === 200, { id: requestId, custom_id: line.id, response, error: null })
    } catch (error) {
      this.#fault ??= this.#toFault(error)
      this.halt('failed')
    }
  }

  async #write({ outputs, errors, names }: Answers, isGood: boolean, answer: AnswerObject) {
    const text = JSON.stringify(answer)
    const numBytes = Buffer.byteLength(text) + 1
    this.#shop.store.reserve(numBytes)
    try {
      await (isGood ? outputs : errors).write(text)
    } catch (error) {
      this.#shop.store.release(numBytes)
      throw error
    }
    names.add(answer.custom_id)
    if (isGood) this.#numCompleted++
    else this.#numFailed++
  }

  /** Lines that will have no answer are told in the file of errors. */
  async #refuseRest(why: 'cancelled' | 'expired', answers: Answers): Promise<void> {
    const reason = why === 'expired' ? 'the completion window of the batch ended' : 'the batch was cancelled'
    const error = { code: `batch_${why}`, message: `${reason} before this request was answered` }
    try {
      for await (const { id: custom_id } of this.#openLines(answers)) {
        const id = `batch_req_${randomBytes(16).toString('hex')}`
        await this.#write(answers, false, { id, custom_id, response: null, error })
      }
    } catch (fault) {
      this.#fault = this.#toFault(fault)
    }
  }

  /** Puts a batch to rest; one that was stopped only until the next start. */
  async #end(why: Halt | undefined, errors: readonly BatchError[] = []): Promise<false> {
    clearTimeout(this.#timer)
    if (why === 'stopped') await this.#update({})
    else {
      const status = why ?? 'completed'
      const { outputId, errorId } = this.#record
      const output_file_id = await this.#publish(outputId, 'output')
      const error_file_id = await this.#publish(errorId, 'error')
      const told = errors.length > 0 ? ({ object: 'list', data: errors } as const) : null
      await this.#update({ status, [`${status}_at`]: unixNow(), errors: told, output_file_id, error_file_id })
    }
    return false
  }

  async #publish(id: string, kind: 'output' | 'error'): Promise<string | null> {
    const { store } = this.#shop
    const bytes = store.sizeOf(id)
    if (bytes === 0) {
      await rm(store.contentPath(id), { force: true })
      return null
    }
    const { api, owner, keepSeconds } = this.#record
    const expires_at = unixNow() + keepSeconds
    await store.addFile(id, bytes, owner, { filename: `${api.id}_${kind}.jsonl`, purpose: 'batch_output', expires_at })
    return id
  }

  async #update(changes: Partial<ApiBatch>): Promise<void> {
    this.#record = { ...this.#record, api: { ...this.api, ...changes } }
    await this.#shop.store.batches.set(this.#record)
  }

  async #guarded(work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await work()
    } catch (error) {
      const fault = this.#toFault(error)
      this.halt('failed')
      return this.#end('failed', [fault]).catch((reason: unknown) => {
        this.#shop.log.error({ batch: this.#record.api.id, err: reason }, 'a batch could not be ended')
        return false
      })
    }
  }

  #toFault(error: unknown): BatchError {
    if (SlipwayError.is(error) && error.kind === 'request') return errorOf(error, null)
    const { id } = this.#record.api
    this.#shop.log.error({ batch: id, err: error }, 'a batch failed')
    const message = `the server failed to go on; its log tells more under batch ${id}`
    return { code: 'internal_error', message, param: null, line: null }
  }
}
