import { expect, test } from 'vitest'
import { buildTrie, type TokenTrie } from './token-trie.ts'
import { tokenBytes } from './vocabulary.ts'

const encoder = new TextEncoder()

function trieOf(texts: readonly Uint8Array[]): TokenTrie {
  return tokenBytes({ bytes: texts, isSpecial: () => false, size: texts.length, stopIds: [] }).trie
}

/** What the tree says, token by token, with a walk that skips nothing. */
function textsOf({ bytes, ends, tokens, firsts }: TokenTrie): Map<number, number[]> {
  const found = new Map<number, number[]>()
  const path: { byte: number; end: number }[] = []
  for (let node = 0; node < bytes.length; node++) {
    while (path.length > 0 && node >= path.at(-1)!.end) path.pop()
    expect(ends[node]!).toBeGreaterThan(node)
    expect(ends[node]!).toBeLessThanOrEqual(path.at(-1)?.end ?? bytes.length)
    path.push({ byte: bytes[node]!, end: ends[node]! })
    for (let i = firsts[node]!; i < firsts[node + 1]!; i++)
      found.set(
        tokens[i]!,
        path.map(({ byte }) => byte),
      )
  }
  return found
}

test('every token is at the node of its bytes: prefixes, twins, bytes of no text, tokens without any', () => {
  const texts = ['ab', 'a', '', 'abc', 'b', 'ab', 'é', 'ê', '\0', 'abd', 'ba'].map((text) => encoder.encode(text))
  texts.push(Uint8Array.of(0xff), Uint8Array.of(0xc3), Uint8Array.of(0x61, 0xff, 0))
  const found = textsOf(trieOf(texts))
  for (const [id, text] of texts.entries()) expect(found.get(id)).toEqual(text.length > 0 ? [...text] : undefined)
})

test('equal beginnings are one node', () => {
  const { bytes } = trieOf(['abc', 'abd', 'ab', 'b'].map((text) => encoder.encode(text)))
  expect(String.fromCharCode(...bytes)).toBe('abcdb')
})

test('no tokens, no nodes', () => {
  expect(buildTrie({ starts: new Int32Array(1), bytes: new Uint8Array() }).bytes).toHaveLength(0)
})
