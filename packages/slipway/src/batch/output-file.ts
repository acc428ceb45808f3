import { createHash } from 'node:crypto'
import { appendFileSync, closeSync, createReadStream, ftruncateSync, openSync } from 'node:fs'
import { SlipwayError } from '@slipway/tensor'

/** What the output says of a request that is answered. */
export interface Answered {
  readonly hasFailed: boolean
  /** Of a PaddleNLP line, which has no name of its own: tells whether the input is still the same. */
  readonly source: string | undefined
}

/** The answers of a batch in a file that only grows, so that a run that was cut off can be taken up again. */
export class BatchOutput {
  /** By `custom_id`; of several answers the last one counts. */
  readonly answered: ReadonlyMap<string, Answered>
  readonly #file: number

  private constructor(file: number, answered: ReadonlyMap<string, Answered>) {
    this.#file = file
    this.answered = answered
  }

  /** Reads what is there. A last line that was cut off is removed; any other that is no answer is a `request` error. */
  static async open(path: string): Promise<BatchOutput> {
    const file = openFile(path)
    try {
      const { answered, end, isTorn } = await readAnswers(path)
      if (isTorn) ftruncateSync(file, end)
      return new BatchOutput(file, answered)
    } catch (error) {
      closeSync(file)
      throw error
    }
  }

  /** In the hands of the system when it returns. */
  write(line: object): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
  }

  close(): void {
    closeSync(this.#file)
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'a')
  } catch (error) {
    throw new SlipwayError('request', `--output: ${(error as Error).message}`, { param: 'output' })
  }
}

async function readAnswers(path: string) {
  const answered = new Map<string, Answered>()
  let rest = Buffer.alloc(0)
  let end = 0
  let number = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    let start = 0
    for (let stop = rest.indexOf(10); stop >= 0; stop = rest.indexOf(10, start)) {
      number++
      const text = rest.toString('utf8', start, stop)
      if (text.trim() !== '') answered.set(...readAnswer(text, `${path}:${number}`))
      end += stop + 1 - start
      start = stop + 1
    }
    rest = rest.subarray(start)
  }
  return { answered, end, isTorn: rest.length > 0 }
}

function readAnswer(text: string, where: string): [string, Answered] {
  try {
    const { custom_id: id, error, response, src } = JSON.parse(text) as Readonly<Record<string, unknown>>
    const status = (response as { status_code?: unknown } | null | undefined)?.status_code ?? 200
    const source = src === undefined ? undefined : sourceDigest(src)
    if (typeof id === 'string') return [id, { hasFailed: (error ?? null) !== null || Number(status) >= 400, source }]
  } catch {
    // the same message as for JSON of another kind
  }
  throw new SlipwayError('request', `--output: ${where} is no answer of a batch; name another file`, {
    param: 'output',
  })
}

export function sourceDigest(src: unknown): string {
  return createHash('sha256').update(JSON.stringify(src)).digest('base64')
}
