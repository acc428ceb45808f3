import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { LLM } from '@slipway/engine'
import type { createApp } from '@slipway/server'
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
  readonly onAnswer: (answer: LineAnswer) => void
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
  const work = async (): Promise<void> => {
    for await (const line of lines) {
      if (run.signal.aborted) return
      const answer = await answerLine(line, run)
      if (run.signal.aborted) return
      run.onAnswer(answer)
    }
  }
  await Promise.all(Array.from({ length: run.width }, work))
}

async function answerLine(line: BatchLine, run: BatchRun): Promise<LineAnswer> {
  const reply = await ask(line, run)
  const usage = reply.body['usage'] as Usage | undefined
  const hasFailed = reply.status !== 200
  return {
    line: line.form === 'openai' ? openAIAnswer(line.id, reply) : paddleAnswer(line, reply),
    hasFailed,
    promptTokens: usage?.prompt_tokens ?? 0,
    newTokens: usage?.completion_tokens ?? 0,
  }
}

interface Usage {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
}

interface Reply {
  readonly status: number
  readonly requestId: string
  readonly body: Readonly<Record<string, unknown>>
}

/** Pauses in milliseconds before a request that found no room, or an engine that starts anew, is made again. */
const pauses = [100, 200, 400, 800, 1600, 3200, 5000, 5000]

async function ask(line: BatchLine, run: BatchRun): Promise<Reply> {
  let request: { readonly url: string; readonly body: Reply['body'] }
  try {
    request = line.form === 'openai' ? line : paddleRequest(line, run.llm, run.paddle)
  } catch (error) {
    // the chat template may refuse the turns
    if (SlipwayError.is(error) && error.kind === 'request') return refusal(error.message, 'src')
    throw error
  }
  const { url, body } = request
  if (body['stream'] === true) return refusal('stream: a batch has whole answers; remove it', 'stream')
  const text = JSON.stringify({ model: run.model, ...body })
  for (let attempt = 0; ; attempt++) {
    const reply = await post(url, text, run)
    const isLater = reply.status === 429 || reply.status === 503
    if (!isLater || attempt === pauses.length || run.signal.aborted) return reply
    await pause(pauses[attempt])
  }
}

async function post(url: string, body: string, { app, signal }: BatchRun): Promise<Reply> {
  const headers = { 'content-type': 'application/json' }
  const response = await app.request(url, { method: 'POST', headers, body, signal })
  return {
    status: response.status,
    requestId: response.headers.get('x-request-id') ?? '',
    body: (await response.json()) as Reply['body'],
  }
}

function refusal(message: string, param: string): Reply {
  const error = { message, type: 'invalid_request_error', param, code: null }
  return { status: 400, requestId: randomUUID(), body: { error } }
}

function openAIAnswer(id: string, { status, requestId, body }: Reply): object {
  const response = { status_code: status, request_id: requestId, body }
  return { id: `batch_req_${requestId}`, custom_id: id, response, error: faultOf(status, body) }
}

function paddleAnswer({ id, src, tgt }: Extract<BatchLine, { form: 'paddle' }>, { status, body }: Reply): object {
  const error = faultOf(status, body)
  return { custom_id: id, src, tgt, ...(error === null ? { output: answerText(body) } : { output: null, error }) }
}

function faultOf(status: number, body: Reply['body']): { readonly code: string; readonly message: string } | null {
  if (status === 200) return null
  const { code, type, message } = body['error'] as { code: string | null; type: string; message: string }
  return { code: code ?? type, message }
}
