import { randomUUID } from 'node:crypto'
import type { LLM } from '@slipway/engine'
import { askLine, inParallel, refusedLine, type createApp, type LineReply, type LineRequest } from '@slipway/server'
import { SlipwayError } from '@slipway/tensor'
import { answerText, paddleRequest } from './paddle-request.ts'
import type { BatchLine } from './lines.ts'
import type { PaddleFlags } from './paddle-flags.ts'

interface BatchRun {
  readonly llm: LLM
  readonly app: ReturnType<typeof createApp>
  /** For lines that name no model. */
  readonly model: string
  readonly paddle: PaddleFlags
  /** Requests under way at once. */
  readonly width: number
  readonly signal: AbortSignal
  readonly onAnswer: (answer: LineAnswer) => Promise<void>
}

/** What comes of one line. */
export interface LineAnswer {
  /** As it stands in the output. */
  readonly line: object
  readonly hasFailed: boolean
  readonly promptTokens: number
  readonly newTokens: number
}

/** Answers the lines, as many at once as `width` says; those under way when `signal` comes have no answer. */
export async function runBatch(lines: AsyncGenerator<BatchLine>, run: BatchRun): Promise<void> {
  await inParallel(lines, run.width, run.signal, async (line) => {
    const answer = await answerLine(line, run)
    if (!run.signal.aborted) await run.onAnswer(answer)
  })
}

async function answerLine(line: BatchLine, run: BatchRun): Promise<LineAnswer> {
  const reply = await ask(line, run)
  const usage = reply.body['usage'] as Usage | undefined
  const hasFailed = reply.status !== 200
  return {
    line: line.form === 'openai' ? openAIAnswer(line.id, reply) : paddleAnswer(line, reply),
    hasFailed,
    promptTokens: usage?.prompt_tokens ?? usage?.input_tokens ?? 0,
    newTokens: usage?.completion_tokens ?? usage?.output_tokens ?? 0,
  }
}

interface Usage {
  readonly prompt_tokens?: number
  readonly input_tokens?: number
  readonly completion_tokens?: number
  readonly output_tokens?: number
}

async function ask(line: BatchLine, { llm, paddle, model, app, signal }: BatchRun): Promise<LineReply> {
  let request: LineRequest
  try {
    request = line.form === 'openai' ? line : paddleRequest(line, llm, paddle)
  } catch (error) {
    // the chat template may refuse the turns
    if (SlipwayError.is(error) && error.kind === 'request') return refusedLine(randomUUID(), error.message, 'src')
    throw error
  }
  const { url, body } = request
  return askLine({ url, body: { model, ...body } }, { fetch: (one) => app.fetch(one), signal })
}

function openAIAnswer(id: string, { status, requestId, body }: LineReply): object {
  const response = { status_code: status, request_id: requestId, body }
  return { id: requestId, custom_id: id, response, error: faultOf(status, body) }
}

function paddleAnswer({ id, src, tgt }: Extract<BatchLine, { form: 'paddle' }>, { status, body }: LineReply): object {
  const error = faultOf(status, body)
  return { custom_id: id, src, tgt, ...(error === null ? { output: answerText(body) } : { output: null, error }) }
}

function faultOf(status: number, body: LineReply['body']): { readonly code: string; readonly message: string } | null {
  if (status === 200) return null
  const { code, type, message } = body['error'] as { code: string | null; type: string; message: string }
  return { code: code ?? type, message }
}
