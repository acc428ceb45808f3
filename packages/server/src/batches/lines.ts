import { isUtf8 } from 'node:buffer'
import { SlipwayError } from '@slipway/tensor'
import { refusal } from '../http/errors.ts'
import { findExcess, jsonFaultAt } from '../http/json-text.ts'
import { readBatchLine, type BatchLine } from './line.ts'
import type { BatchError } from './records.ts'
import { splitLines } from './split-lines.ts'

/** A line of a file that is a request, or what is wrong with it. */
type NumberedLine = { readonly number: number } & (
  | { readonly line: BatchLine }
  | { readonly line: undefined; readonly fault: SlipwayError }
)

/** The requests in a file for one endpoint; lines that hold nothing are left out. */
export async function* requestLines(
  chunks: AsyncIterable<Uint8Array>,
  endpoint: string,
  maxLineBytes: number,
): AsyncGenerator<NumberedLine> {
  let number = 0
  for await (const { bytes } of splitLines(chunks, maxLineBytes)) {
    number++
    // Windows marks a text with U+FEFF
    const text = bytes?.toString().replace(number === 1 ? /^\uFEFF/ : '', '')
    if (text?.trim() === '') continue
    try {
      if (text === undefined)
        throw refusal(`the line is longer than the ${maxLineBytes} bytes that a request may have`, {
          code: 'line_too_long',
        })
      if (!isUtf8(bytes!)) throw refusal('the line is not valid UTF-8', { code: 'invalid_json_line' })
      yield { number, line: readBatchLine(parseLine(text), [endpoint]) }
    } catch (fault) {
      if (!SlipwayError.is(fault)) throw fault
      yield { number, line: undefined, fault }
    }
  }
}

function parseLine(text: string): unknown {
  const excess = findExcess(text)
  if (excess) throw refusal(`the line ${excess.reason} at position ${excess.at}`, { code: 'invalid_json_line' })
  try {
    return JSON.parse(text)
  } catch {
    throw refusal(`the line is not valid JSON from position ${jsonFaultAt(text)} on`, { code: 'invalid_json_line' })
  }
}

/** Faults that are told of one file; who has more has made one many times. */
const maxFaults = 100

export interface LineRules {
  readonly endpoint: string
  readonly maxLineBytes: number
  readonly maxLines: number
  /** Throws for a model that is not there. */
  readonly requireModel: (name: string) => void
  readonly signal: AbortSignal
}

/** Looks at all lines before any is answered, as OpenAI does: one that is no request is a fault of the whole batch. */
export async function checkLines(
  chunks: AsyncIterable<Uint8Array>,
  { endpoint, maxLineBytes, maxLines, requireModel, signal }: LineRules,
): Promise<{ readonly numLines: number; readonly errors: readonly BatchError[] }> {
  const names = new Set<string>()
  const errors: BatchError[] = []
  let numLines = 0
  for await (const found of requestLines(chunks, endpoint, maxLineBytes)) {
    if (signal.aborted || errors.length === maxFaults) break
    numLines++
    if (numLines > maxLines) {
      const message = `the file has more than ${maxLines} lines; send several, or raise --batch-max-lines`
      return { numLines, errors: [errorOf(refusal(message, { code: 'too_many_lines' }), null)] }
    }
    try {
      if (!found.line) throw found.fault
      const { id, body } = found.line
      if (names.has(id))
        throw refusal(`the custom_id "${id}" comes twice`, { param: 'custom_id', code: 'duplicate_custom_id' })
      names.add(id)
      if (typeof body['model'] !== 'string')
        throw refusal('"model" is missing in "body", or is no text', {
          param: 'body.model',
          code: 'missing_required_parameter',
        })
      requireModel(body['model'])
    } catch (error) {
      errors.push(errorOf(error, found.number))
    }
  }
  if (numLines === 0) errors.push(errorOf(refusal('the file has no line', { code: 'empty_file' }), null))
  return { numLines, errors }
}

/** A fault as a batch tells it; throws what is not a client's to mend. */
export function errorOf(error: unknown, line: number | null): BatchError {
  if (!SlipwayError.is(error) || (error.kind !== 'request' && error.kind !== 'not-found')) throw error
  const { code, param } = error.details
  return {
    code: typeof code === 'string' ? code : null,
    message: error.message,
    param: typeof param === 'string' ? (param === 'model' ? 'body.model' : param) : null,
    line,
  }
}
