import type { ServerResponse } from 'node:http'

/** A body that goes to a socket of Node's without a web stream in between. */
export interface DirectBody {
  /** Writes it, and ends the answer; its head is written. */
  writeTo(outgoing: ServerResponse): void
  /** Its length in bytes where that is known. */
  readonly length?: number
  /** The same for whoever reads the response itself. */
  toBody(): string | ReadableStream<Uint8Array>
}

type Reading = 'body' | 'bodyUsed' | 'arrayBuffer' | 'blob' | 'bytes' | 'clone' | 'formData' | 'json' | 'text'

/** The types say that reading is a matter of properties, which no class may override; it is one of the prototype. */
const Head = Response as unknown as new (body: null, init: ResponseInit) => Omit<Response, Reading>

/**
 * A response like any other, save that `send` can write it as it is. Making and reading web streams costs more than all the
 * rest of a short answer; here one is made only when somebody asks for it.
 */
export class DirectResponse extends Head {
  readonly #direct: DirectBody
  #read: Response | undefined

  constructor(direct: DirectBody, init: ResponseInit) {
    super(null, init)
    this.#direct = direct
  }

  get #whole(): Response {
    return (this.#read ??= new Response(this.#direct.toBody(), { status: this.status, headers: this.headers }))
  }

  get body() {
    return this.#whole.body
  }

  get bodyUsed(): boolean {
    return this.#read?.bodyUsed ?? false
  }

  arrayBuffer() {
    return this.#whole.arrayBuffer()
  }

  blob() {
    return this.#whole.blob()
  }

  clone() {
    return this.#whole.clone()
  }

  formData() {
    return this.#whole.formData()
  }

  json() {
    return this.#whole.json()
  }

  text() {
    return this.#whole.text()
  }

  /** Writes head and body. */
  send(outgoing: ServerResponse): void {
    const { length } = this.#direct
    const headers = Object.fromEntries(this.headers)
    outgoing.writeHead(this.status, length === undefined ? headers : { ...headers, 'content-length': length })
    this.#direct.writeTo(outgoing)
  }
}

/** JSON as an answer. */
export function jsonResponse(value: unknown): DirectResponse {
  const text = JSON.stringify(value)
  return new DirectResponse(
    { length: Buffer.byteLength(text), writeTo: (outgoing) => outgoing.end(text), toBody: () => text },
    { headers: { 'content-type': 'application/json' } },
  )
}
