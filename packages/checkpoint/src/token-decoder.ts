import { isObject } from './json-file.ts'

/**
 * One step from tokens to text that never takes back what it gave. `push` gets the next token and returns the pieces
 * that are now certain, `flush` returns the rest and makes the stage ready for another sequence.
 */
interface Stage {
  push(token: string): readonly string[]
  flush(): readonly string[]
}

export interface StreamingDecoder {
  /** The text that is certain now; half of a UTF-8 character waits for its other half. */
  push(token: string): string
  flush(): string
}

/**
 * Builds a decoder from the `decoder` of a tokenizer.json, or undefined where its text depends on tokens still to come
 * in a way that we do not model (WordPiece, CTC and other decoders of encoders).
 * Behaves as the Rust library does (tokenizers 0.23, `src/decoders`), also on bytes that are no UTF-8.
 */
export function streamingDecoder(config: unknown): StreamingDecoder | undefined {
  const stages = buildStages(config)
  if (!stages) return undefined
  const run = (pieces: readonly string[], from: number): string => {
    let current = pieces
    for (let i = from; i < stages.length; i++)
      current = current.length === 1 ? stages[i]!.push(current[0]!) : current.flatMap((piece) => stages[i]!.push(piece))
    return current.length === 1 ? current[0]! : current.join('')
  }
  return {
    push: (token) => run([token], 0),
    flush() {
      // what an early stage held back still runs through the later ones
      let text = ''
      for (let i = 0; i < stages.length; i++) text += run(stages[i]!.flush(), i + 1)
      return text
    },
  }
}

function buildStages(config: unknown): Stage[] | undefined {
  if (!isObject(config)) return undefined
  const configs = config['type'] === 'Sequence' ? config['decoders'] : [config]
  if (!Array.isArray(configs)) return undefined
  const stages: Stage[] = []
  // after Fuse and ByteLevel the pieces count as one long token
  let isFused = false
  for (const part of configs) {
    const stage = isObject(part) ? buildStage(part, isFused) : undefined
    if (!stage) return undefined
    isFused ||= part['type'] === 'Fuse' || part['type'] === 'ByteLevel'
    stages.push(stage)
  }
  return stages
}

function buildStage(config: Readonly<Record<string, unknown>>, isFused: boolean): Stage | undefined {
  if (isFused) return config['type'] === 'Strip' ? stripStart(config) : undefined
  switch (config['type']) {
    case 'ByteLevel':
      return byteLevel()
    case 'ByteFallback':
      return byteFallback()
    case 'Fuse':
      return { push: (token) => [token], flush: () => [] }
    case 'Replace':
      return replace(config)
    case 'Strip':
      return strip(config)
    case 'Metaspace':
      return metaspace(config)
    default:
      return undefined
  }
}

/** Every byte has a printable letter in GPT-2's alphabet: itself if it is printable, otherwise one from U+0100 on. */
export const byteOf: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte)
    .sort((a, b) => Number(isPrintable(b)) - Number(isPrintable(a)) || a - b)
    .map((byte, i) => [String.fromCodePoint(isPrintable(byte) ? byte : 256 + i - 188), byte]),
)

function isPrintable(byte: number): boolean {
  return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
}

function byteLevel(): Stage {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const encoder = new TextEncoder()
  /** Whether the decoder may hold the beginning of a character. */
  let isInside = false
  return {
    push(token) {
      const text = isInside ? undefined : asciiOf(token)
      if (text !== undefined) return [text]
      const bytes = Array.from(token, (letter) => byteOf.get(letter))
      // a token outside the alphabet, such as an added one with a space, stands for itself
      const isEncoded = bytes.every((byte) => byte !== undefined)
      const data = isEncoded ? Uint8Array.from(bytes) : encoder.encode(token)
      if (data.length > 0) isInside = data.at(-1)! >= 0x80
      return [decoder.decode(data, { stream: true })]
    },
    flush() {
      isInside = false
      return [decoder.decode()]
    },
  }
}

/** The text of a token that is nothing but ASCII, as most are; undefined for all others. */
function asciiOf(token: string): string | undefined {
  let isPlain = true
  for (let i = 0; i < token.length; i++) {
    const code = token.charCodeAt(i)
    if (code > 0x20 && code < 0x7f) continue
    if (code !== letterOfSpace && code !== letterOfLineEnd) return undefined
    isPlain = false
  }
  return isPlain ? token : token.replaceAll('\u0120', ' ').replaceAll('\u010a', '\n')
}

const letterOfSpace = 0x120
const letterOfLineEnd = 0x10a

/** A run of byte tokens is text if the whole run is UTF-8, otherwise one replacement character for each byte. */
function byteFallback(): Stage {
  const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
  let run: number[] = []
  const flush = (): string[] => {
    if (run.length === 0) return []
    const bytes = Uint8Array.from(run)
    run = []
    try {
      return [strict.decode(bytes)]
    } catch {
      return ['\ufffd'.repeat(bytes.length)]
    }
  }
  return {
    push(token) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
      if (byte === undefined) return [...flush(), token]
      run.push(Number.parseInt(byte, 16))
      return []
    },
    flush,
  }
}

function replace(config: Readonly<Record<string, unknown>>): Stage | undefined {
  const { pattern, content } = config
  const found = isObject(pattern) ? pattern['String'] : undefined
  if (typeof found !== 'string' || typeof content !== 'string') return undefined
  return { push: (token) => [token.replaceAll(found, () => content)], flush: () => [] }
}

interface Strip {
  readonly content: string
  readonly start: number
  readonly stop: number
}

function stripOf(config: Readonly<Record<string, unknown>>): Strip | undefined {
  const { content, start = 0, stop = 0 } = config
  if (typeof content !== 'string' || typeof start !== 'number' || typeof stop !== 'number') return undefined
  return { content, start, stop }
}

function strip(config: Readonly<Record<string, unknown>>): Stage | undefined {
  const options = stripOf(config)
  if (!options) return undefined
  const { content, start, stop } = options
  const push = (token: string): string[] => {
    const letters = Array.from(token)
    let begin = 0
    let end = letters.length
    while (begin < Math.min(start, letters.length) && letters[begin] === content) begin++
    while (letters.length - end < stop && end > 0 && letters[end - 1] === content) end--
    return [letters.slice(begin, Math.max(begin, end)).join('')]
  }
  return { push, flush: () => [] }
}

/** Strips the start of the whole text; a strip of its end would hold text back for ever. */
function stripStart(config: Readonly<Record<string, unknown>>): Stage | undefined {
  const options = stripOf(config)
  if (!options || options.stop > 0) return undefined
  let left = options.start
  return {
    push(piece) {
      let begin = 0
      while (left > 0 && begin < piece.length) {
        if (!piece.startsWith(options.content, begin)) left = 0
        else {
          left--
          begin += options.content.length
        }
      }
      return [piece.slice(begin)]
    },
    flush() {
      left = options.start
      return []
    },
  }
}

function metaspace(config: Readonly<Record<string, unknown>>): Stage | undefined {
  const { replacement = '\u2581', prepend_scheme: scheme = 'always' } = config
  if (typeof replacement !== 'string') return undefined
  let isFirst = true
  return {
    push(token) {
      const space = isFirst && scheme !== 'never' ? '' : ' '
      isFirst = false
      return [token.replaceAll(replacement, space)]
    },
    flush() {
      isFirst = true
      return []
    },
  }
}
