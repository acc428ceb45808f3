import { SlipwayError } from '@slipway/tensor'
import type { BatchLine } from './lines.ts'
import { sourceDigest, type Answered } from './answered.ts'

/** What a batch asks for, beside what its output has. */
export interface Survey {
  /** Names of the lines that have no answer yet. */
  readonly open: ReadonlySet<string>
  readonly numLines: number
  readonly numPaddle: number
  /** Of the lines that are answered already, those that failed. */
  readonly numFailed: number
}

/**
 * Reads all lines once before anything is computed, so that a mistake in the last one shows at once. Throws for a name that
 * comes twice, and for answers that are those of another input.
 */
export async function surveyOf(
  lines: AsyncIterable<BatchLine>,
  answered: ReadonlyMap<string, Answered>,
  retryErrors: boolean,
): Promise<Survey> {
  const names = new Set<string>()
  const open = new Set<string>()
  let [numPaddle, numFailed] = [0, 0]
  for await (const line of lines) {
    if (names.has(line.id)) throw new SlipwayError('request', `--input: the custom_id "${line.id}" comes twice`)
    names.add(line.id)
    if (line.form === 'paddle') numPaddle++
    const found = answered.get(line.id)
    const source = line.form === 'paddle' ? sourceDigest(line.src) : undefined
    if (found && found.source !== source)
      throw new SlipwayError('request', `--output: its answer to ${line.id} is one to another input; name another file`)
    if (!found || (found.hasFailed && retryErrors)) open.add(line.id)
    else if (found.hasFailed) numFailed++
  }
  if (names.size === 0) throw new SlipwayError('request', '--input: there is no line in it')
  return { open, numLines: names.size, numPaddle, numFailed }
}
