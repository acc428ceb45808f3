import { createHash } from 'node:crypto'
import { AnswersFile } from '@slipway/server'
import { SlipwayError } from '@slipway/tensor'

/** What the output says of a request that is answered. */
export interface Answered {
  readonly hasFailed: boolean
  /** Of a PaddleNLP line, which has no name of its own: tells whether the input is still the same. */
  readonly source: string | undefined
}

/** The output of a batch, with what an earlier run has put there. */
export async function openOutput(path: string): Promise<AnswersFile<Answered>> {
  try {
    return await AnswersFile.open(path, ({ error, response, src }) => {
      const status = (response as { status_code?: unknown } | null | undefined)?.status_code ?? 200
      const source = src === undefined ? undefined : sourceDigest(src)
      return { hasFailed: (error ?? null) !== null || Number(status) >= 400, source }
    })
  } catch (error) {
    throw new SlipwayError('request', `--output: ${(error as Error).message}`, { param: 'output' })
  }
}

export function sourceDigest(src: unknown): string {
  return createHash('sha256').update(JSON.stringify(src)).digest('base64')
}
