import { constants, createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { ChatMessage } from '@slipway/checkpoint'
import { readBatchLine, type BatchLine as RequestLine } from '@slipway/server'
import { SlipwayError } from '@slipway/tensor'

/** A line of OpenAI's batches. */
export interface OpenAILine extends RequestLine {
  readonly form: 'openai'
}

/** A line of PaddleNLP's predictor: a question, or turns of a conversation, and maybe the answer that is hoped for. */
export interface PaddleLine {
  readonly form: 'paddle'
  readonly id: string
  readonly src: unknown
  readonly tgt: unknown
  readonly turns: readonly ChatMessage[]
}

export type BatchLine = OpenAILine | PaddleLine

/**
 * The lines of a batch, each time it is called; `input` is a file, or `-` for standard input, which is kept in memory. A
 * line that is no request is a `request` error that names its place.
 */
export async function openLines(input: string): Promise<() => AsyncGenerator<BatchLine>> {
  const name = input === '-' ? 'standard input' : input
  const kept = input === '-' ? await standardInput() : undefined
  if (input !== '-') await access(input, constants.R_OK).catch(notReadable)
  return async function* () {
    let number = 0
    for await (const text of kept ?? createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
      number++
      if (text.trim() !== '') yield parseLine(text, number, `${name}:${number}`)
    }
  }
}

function notReadable(error: unknown): never {
  throw new SlipwayError('request', `--input: ${(error as Error).message}`, { param: 'input' })
}

async function standardInput(): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: process.stdin })) lines.push(line)
  return lines
}

export function parseLine(text: string, number: number, where: string): BatchLine {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch (error) {
    throw fault(where, (error as Error).message)
  }
  if (isObject(line) && 'src' in line) return paddleLine(line, `line-${number}`, where)
  try {
    return { form: 'openai', ...readBatchLine(line) }
  } catch (error) {
    throw SlipwayError.is(error) ? fault(where, error.message) : error
  }
}

function paddleLine(line: Readonly<Record<string, unknown>>, usualId: string, where: string): PaddleLine {
  const { custom_id: id = usualId, src, tgt } = line
  if (typeof id !== 'string' || id === '') throw fault(where, '"custom_id" must be a text that is not empty')
  return { form: 'paddle', id, src, tgt, turns: turnsOf(src, tgt, where) }
}

/** Answers to earlier questions stand in `tgt` where that is a list, else between them in `src`. */
function turnsOf(src: unknown, tgt: unknown, where: string): ChatMessage[] {
  const questions = typeof src === 'string' ? [src] : src
  if (!Array.isArray(questions) || questions.length === 0 || !questions.every((text) => typeof text === 'string'))
    throw fault(where, '"src" must be a text or a list of texts')
  if (questions.length === 1) return [{ role: 'user', content: questions[0]! }]
  if (Array.isArray(tgt)) {
    const answers = tgt.slice(0, questions.length - 1) as unknown[]
    if (answers.length < questions.length - 1 || !answers.every((text) => typeof text === 'string'))
      throw fault(where, '"tgt" must have a text for every text of "src" before the last')
    return questions.flatMap((content, i): ChatMessage[] =>
      i < answers.length
        ? [
            { role: 'user', content },
            { role: 'assistant', content: answers[i] as string },
          ]
        : [{ role: 'user', content }],
    )
  }
  if (questions.length % 2 === 0) throw fault(where, '"src" must end with a question: an odd number of turns')
  return questions.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fault(where: string, message: string): SlipwayError {
  return new SlipwayError('request', `${where}: ${message}`)
}
