import { refusal } from '../http/errors.ts'

// multipart/form-data (RFC 7578) as it comes in: a file is never held as a whole.

/** One field of a form. Its body is to be read before the next part is asked for; what is left of it is skipped. */
export interface Part {
  readonly name: string
  readonly filename: string | undefined
  readonly body: AsyncGenerator<Buffer, void, undefined>
}

const maxHeadBytes = 8192
const maxParts = 16

/** The boundary that a content type names; throws 415 for other types. */
export function boundaryOf(contentType: string | null): string {
  const [, quoted, plain] =
    /^multipart\/form-data\s*;(?:[^"]*;)?\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s";]{1,70}))\s*(?:;|$)/i.exec(
      contentType ?? '',
    ) ?? []
  const boundary = quoted ?? plain
  if (boundary === undefined)
    throw refusal(`the content type is "${contentType ?? ''}"; send multipart/form-data with a boundary`, {
      status: 415,
      code: 'unsupported_media_type',
    })
  return boundary
}

export async function* multipart(chunks: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part> {
  const scanner = new Scanner(chunks)
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // before the first part nothing is expected
  for await (const piece of scanner.until(delimiter)) if (piece.length > 0) throw broken('something stands before it')
  for (let numParts = 0; !(await scanner.atEnd());) {
    if (++numParts > maxParts) throw broken(`it has more than ${maxParts} fields`)
    const body = scanner.until(delimiter)
    yield { ...disposition(await scanner.text(Buffer.from('\r\n\r\n'), maxHeadBytes)), body }
    for await (const _ of body);
  }
}

/** The text of a field, which has to be short. */
export async function textOf({ name, body }: Part, maxBytes = 1024): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of body) {
    length += piece.length
    if (length > maxBytes) throw refusal(`${name}: is longer than ${maxBytes} bytes`, { param: name })
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

/** Finds marks in what comes in pieces. */
class Scanner {
  readonly #chunks: AsyncIterator<Uint8Array>
  // so that the first boundary is behind the end of a line as all others are
  #rest: Buffer = Buffer.from('\r\n')

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** What comes before the mark; the mark itself is taken away. */
  async *until(mark: Buffer): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const at = this.#rest.indexOf(mark)
      const end = at >= 0 ? at : this.#rest.length - mark.length + 1
      const piece = this.#rest.subarray(0, Math.max(0, end))
      this.#rest = this.#rest.subarray(at >= 0 ? at + mark.length : piece.length)
      if (piece.length > 0) yield piece
      if (at >= 0) return
      await this.#more()
    }
  }

  async text(mark: Buffer, maxBytes: number): Promise<string> {
    let text = ''
    for await (const piece of this.until(mark)) {
      text += piece.toString('latin1')
      if (text.length > maxBytes) throw broken(`the head of a field is longer than ${maxBytes} bytes`)
    }
    return Buffer.from(text, 'latin1').toString()
  }

  /** Whether the boundary just taken is the last one. */
  async atEnd(): Promise<boolean> {
    while (this.#rest.length < 2) await this.#more()
    const next = this.#rest.toString('latin1', 0, 2)
    this.#rest = this.#rest.subarray(2)
    if (next !== '--' && next !== '\r\n') throw broken('a boundary is followed by something else')
    return next === '--'
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next().catch(() => ({ done: true, value: undefined }))
    if (done || !value) throw broken('it ends before its last boundary')
    this.#rest = this.#rest.length === 0 ? Buffer.from(value) : Buffer.concat([this.#rest, value])
  }
}

/** Reads parameters one after the other, so that a value cannot pose as another parameter. */
function disposition(head: string): { name: string; filename: string | undefined } {
  const line = /^content-disposition:[ \t]*form-data[ \t]*(.*)$/im.exec(head)?.[1]?.trim()
  if (line === undefined) throw broken('a field has no Content-Disposition')
  const parameters = new Map<string, string>()
  const parameter = /;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*/y
  while (parameter.lastIndex < line.length) {
    const [, key, quoted, plain] = parameter.exec(line) ?? []
    if (key === undefined) throw broken('a Content-Disposition cannot be read')
    parameters.set(key.toLowerCase(), quoted ?? plain ?? '')
  }
  const name = parameters.get('name')
  if (name === undefined) throw broken('a field has no name')
  return { name: unescaped(name), filename: mapped(parameters.get('filename')) }
}

function mapped(text: string | undefined): string | undefined {
  return text === undefined ? undefined : unescaped(text)
}

/** As HTML has forms escaped. */
function unescaped(text: string): string {
  return text.replace(/%22/g, '"').replace(/%0d/gi, '\r').replace(/%0a/gi, '\n')
}

function broken(reason: string) {
  return refusal(`the body is not a valid form: ${reason}`, { code: 'invalid_form' })
}
