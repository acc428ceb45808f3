import type { IncomingMessage } from 'node:http'
import type { SlipwayError } from '@slipway/tensor'
import { refusal } from './errors.ts'
import { findExcess, jsonFaultAt } from './json-text.ts'

/** What of a handler's context has the body; `env` holds Node's own request where there is a socket. */
export interface BodySource {
  readonly req: { readonly raw: Request }
  readonly env: unknown
}

/**
 * Reads a JSON body. Only `application/json` is taken: a web page can send other types to a server on the same machine
 * without being asked (CSRF). The length is checked while reading, so a body without a declared length is bounded too.
 */
export async function readJson({ req: { raw }, env }: BodySource, maxBytes: number): Promise<unknown> {
  checkType(raw.headers)
  if (Number(raw.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const incoming = (env as { readonly incoming?: IncomingMessage } | undefined)?.incoming
  return parseJson(decodeUtf8(await (incoming ? readIncoming(incoming, maxBytes) : readBytes(raw, maxBytes))))
}

function tooLarge(maxBytes: number): SlipwayError {
  return refusal(`the body is longer than ${maxBytes} bytes; send less, or raise the server's limit`, {
    status: 413,
    code: 'request_too_large',
  })
}

const endedEarly = 'the body ended too early'

function checkType(headers: Headers): void {
  const [type = '', ...parameters] = (headers.get('content-type') ?? '').toLowerCase().split(';')
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith('charset='))
  const isUtf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset)
  if (type.trim() !== 'application/json' || !isUtf8)
    throw refusal(`the content type is "${headers.get('content-type') ?? ''}"; send application/json in UTF-8`, {
      status: 415,
      code: 'unsupported_media_type',
    })
  const encoding = headers.get('content-encoding') ?? 'identity'
  if (encoding !== 'identity')
    throw refusal(`the content encoding "${encoding}" is not supported; send the body as it is`, {
      status: 415,
      code: 'unsupported_media_type',
    })
}

async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of request.body ?? []) {
      length += chunk.byteLength
      if (length > maxBytes) break
      chunks.push(chunk)
    }
  } catch {
    throw refusal(endedEarly)
  }
  if (length > maxBytes) throw tooLarge(maxBytes)
  return Buffer.concat(chunks, length)
}

/** The same from Node's own request: a web stream around it would cost more than the rest of a short request. */
function readIncoming(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let length = 0
    const settle = (error?: SlipwayError): void => {
      incoming.off('data', onData).off('end', onEnd).off('error', onBreak).off('close', onBreak)
      if (error) reject(error)
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length))
    }
    const onData = (chunk: Uint8Array): void => {
      length += chunk.byteLength
      if (length <= maxBytes) return void chunks.push(chunk)
      // the rest stays where it is until the refusal is written
      incoming.pause()
      settle(tooLarge(maxBytes))
    }
    const onEnd = (): void => settle()
    const onBreak = (): void => settle(refusal(endedEarly))
    if (incoming.readableEnded || incoming.destroyed) return onBreak()
    incoming.on('data', onData).on('end', onEnd).on('error', onBreak).on('close', onBreak)
  })
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw refusal('the body is not valid UTF-8', { code: 'invalid_json' })
  }
}

/** Parses the text of a body; faults name their place. */
export function parseJson(text: string): unknown {
  const excess = findExcess(text)
  if (excess) throw refusal(`the body ${excess.reason} at ${place(text, excess.at)}`, { code: 'invalid_json' })
  try {
    return JSON.parse(text)
  } catch {
    const at = jsonFaultAt(text)
    const found =
      at < text.length ? `unexpected ${JSON.stringify(String.fromCodePoint(text.codePointAt(at)!))}` : 'it ends'
    throw refusal(`the body is not valid JSON: ${found} at ${place(text, at)}`, { code: 'invalid_json' })
  }
}

function place(text: string, at: number): string {
  let line = 1
  let start = 0
  for (let end = text.indexOf('\n'); end >= 0 && end < at; end = text.indexOf('\n', start)) {
    line++
    start = end + 1
  }
  return `position ${at} (line ${line}, column ${at - start + 1})`
}
