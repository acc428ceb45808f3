import { isObject } from './json-file.ts'
import { byteOf } from './token-decoder.ts'

/**
 * The bytes that single tokens stand for, wherever they appear; undefined for decoders whose tokens have none of their
 * own (WordPiece, CTC). What a decoder strips at the very start of a text is kept.
 */
export function bytesOfTokens(config: unknown): ((token: string) => Uint8Array) | undefined {
  const parts = partsOf(config)
  if (!parts) return undefined
  const encoder = new TextEncoder()
  const replacements: [string, string][] = []
  let isByteLevel = false
  let hasByteTokens = false
  for (const part of parts) {
    if (!isObject(part)) return undefined
    const { type, pattern, content, replacement = '\u2581' } = part
    const found = isObject(pattern) ? pattern['String'] : undefined
    if (type === 'ByteLevel') isByteLevel = true
    else if (type === 'ByteFallback') hasByteTokens = true
    else if (type === 'Metaspace' && typeof replacement === 'string') replacements.push([replacement, ' '])
    else if (type === 'Replace' && typeof found === 'string' && typeof content === 'string')
      replacements.push([found, content])
    else if (type !== 'Fuse' && type !== 'Strip') return undefined
  }
  return (token) => {
    if (isByteLevel) {
      const bytes = Array.from(token, (letter) => byteOf.get(letter))
      return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encoder.encode(token)
    }
    const byte = hasByteTokens ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16))
    return encoder.encode(replacements.reduce((text, [from, to]) => text.replaceAll(from, () => to), token))
  }
}

function partsOf(config: unknown): unknown[] | undefined {
  if (!isObject(config)) return undefined
  const parts = config['type'] === 'Sequence' ? config['decoders'] : [config]
  return Array.isArray(parts) ? parts : undefined
}
