import { expect, test } from 'vitest'
import { buildTrie, childOf, type TokenTrie } from './token-trie.ts'
import { tokenBytes } from './vocabulary.ts'

const encoder = new TextEncoder()

function trieOf(texts: readonly Uint8Array[]): TokenTrie {
  return tokenBytes({ bytes: texts, isSpecial: () => false, size: texts.length, stopIds: [] }).trie
}

/** What the tree says, token by token, with a walk that skips nothing. */
function textsOf({ bytes, children, tokens, firsts, ends }: TokenTrie): Map<number, number[]> {
  const found = new Map<number, number[]>()
  let next = 1
  const visit = (node: number, path: readonly number[]): void => {
    for (let i = firsts[node]!; i < ends[node]!; i++) found.set(tokens[i]!, [...path])
    const [first, end] = [children[node]!, children[node + 1]!]
    const under = bytes.subarray(first, end)
    expect([...under]).toEqual([...new Set(under)].sort((a, b) => a - b))
    next += end - first
    for (let child = first; child < end; child++) visit(child, [...path, bytes[child]!])
  }
  visit(0, [])
  expect(next).toBe(bytes.length)
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
  expect(String.fromCharCode(...bytes)).toBe('\0abbcd')
})

test('no tokens, no node but the root', () => {
  expect(buildTrie({ starts: new Int32Array(1), bytes: new Uint8Array() }).bytes).toHaveLength(1)
})

test('a child is found by its byte', () => {
  const trie = trieOf(['a', 'c', 'ca', 'z'].map((text) => encoder.encode(text)))
  const children = ['a', 'b', 'c', 'y', 'z', '~'].map((letter) => childOf(trie, 0, letter.charCodeAt(0)))
  expect(children).toEqual([1, undefined, 2, undefined, 3, undefined])
  expect(childOf(trie, 2, 0x61)).toBe(4)
  expect(childOf(trie, 4, 0x61)).toBeUndefined()
})
