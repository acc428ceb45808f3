import { expect, test } from 'vitest'
import { byteOf, streamingDecoder } from './token-decoder.ts'

test('bytes cut into tokens anywhere are the text of all bytes, also where they are no UTF-8', () => {
  const letterOf = new Map([...byteOf].map(([letter, byte]) => [byte, letter]))
  const decoder = streamingDecoder({ type: 'ByteLevel' })!
  let state = 1
  const next = (below: number): number => (state = (state * 48271) % 0x7fffffff) % below
  const samples = ['plain text', ' \n\t', 'é', '漢', '😀', '\ufeff', '\x7f']
  for (let round = 0; round < 300; round++) {
    const bytes = Array.from({ length: 8 }, () => [...new TextEncoder().encode(samples[next(samples.length)])]).flat()
    // broken characters before, between and after whole ones
    for (let i = next(4); i > 0; i--) bytes.splice(next(bytes.length), 1)
    let text = ''
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + next(4)
      text += decoder.push(bytes.slice(at, end).reduce((token, byte) => token + letterOf.get(byte)!, ''))
      at = end
    }
    text += decoder.flush()
    expect(text).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)))
  }
})
