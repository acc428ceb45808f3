import { createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { refusal } from '../http/errors.ts'
import { splitLines } from './split-lines.ts'

/** An answer as it stands in a file. */
export type AnswerObject = Readonly<Record<string, unknown>> & { readonly custom_id: string }

/** The answers of a batch in a file that only grows, so that a run that was cut off can be taken up again. */
export class AnswersFile<T> {
  /** What the file has, by `custom_id`; of several answers the last one counts. */
  readonly answered: ReadonlyMap<string, T>
  readonly #file: FileHandle
  #bytes: number
  #last: Promise<unknown> = Promise.resolve()

  private constructor(file: FileHandle, answered: ReadonlyMap<string, T>, bytes: number) {
    this.#file = file
    this.answered = answered
    this.#bytes = bytes
  }

  /**
   * Reads what is there, keeping of each answer what `keep` makes of it. A last line that was cut off is removed. Any
   * other that is no answer is a `request` error, or, in a file that is `ours`, the end: a machine that fell may leave
   * such behind.
   */
  static async open<T>(path: string, keep: (answer: AnswerObject) => T, ours = false): Promise<AnswersFile<T>> {
    const file = await open(path, 'a', 0o600)
    try {
      const answered = new Map<string, T>()
      let whole = 0
      let number = 0
      for await (const { bytes, end, isTorn } of splitLines(createReadStream(path))) {
        number++
        const text = bytes!.toString()
        const answer = isTorn || text.trim() === '' ? undefined : readAnswer(text)
        if (answer) answered.set(answer.custom_id, keep(answer))
        else if (ours || isTorn) break
        else if (text.trim() !== '') throw refusal(`${path}:${number} is no answer of a batch; name another file`)
        whole = end
      }
      await file.truncate(whole)
      return new AnswersFile(file, answered, whole)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Bytes that the file has. */
  get bytes(): number {
    return this.#bytes
  }

  /** In the hands of the system when it resolves; one that fails leaves the file as it was. */
  write(line: string): Promise<void> {
    const text = `${line}\n`
    const written = this.#last.then(async () => {
      try {
        await this.#file.appendFile(text)
        this.#bytes += Buffer.byteLength(text)
      } catch (error) {
        await this.#file.truncate(this.#bytes)
        throw error
      }
    })
    this.#last = written.catch(() => {})
    return written
  }

  /** On the disk when it resolves. */
  async close(): Promise<void> {
    try {
      await this.#last
      await this.#file.sync()
    } finally {
      await this.#file.close()
    }
  }
}

function readAnswer(text: string): AnswerObject | undefined {
  try {
    const answer = JSON.parse(text) as AnswerObject | null
    return typeof answer?.custom_id === 'string' ? answer : undefined
  } catch {
    return undefined
  }
}
