import { kvCache, referenceDevice } from '@slipway/tensor'
import { expect, test } from 'vitest'
import { KvMemory } from './kv-memory.ts'

test('memory is prepared a page at a time, ahead of the blocks in use and nowhere else', async () => {
  // a block of keys takes half a page
  const shape = { numBlocks: 7, blockSize: 16, numKvHeads: 8, headDim: 2048 }
  const memory = new KvMemory([kvCache(referenceDevice(), shape, 'f32')])
  const ones = new Uint8Array(memory.bytesPerBlock).fill(1)
  for (let block = 0; block < shape.numBlocks; block++) memory.write(block, ones)
  const written = async (): Promise<string[]> => {
    const places = Array.from({ length: shape.numBlocks }, async (_, block) => {
      const bytes = await memory.read(block)
      const half = bytes.length / 2
      return [bytes[0] === 0 && `keys ${block}`, bytes[half] === 0 && `values ${block}`].filter(
        (place) => place !== false,
      )
    })
    return (await Promise.all(places)).flat()
  }
  memory.prepare(3)
  expect(await written()).toEqual(['keys 4'])
  memory.prepare(3)
  memory.prepare(3)
  expect(await written()).toEqual(['keys 4', 'values 4'])
  // the page after that of the last block in use, as soon as the one before it is begun
  for (let i = 0; i < 9; i++) memory.prepare(5)
  expect(await written()).toEqual(['keys 4', 'values 4', 'keys 6', 'values 6'])
  for (let i = 0; i < 9; i++) memory.prepare(7)
  expect(await written()).toHaveLength(4)
})

test('a page is not prepared before the one in use comes to its end', async () => {
  // a block of keys takes a 64th of a page
  const shape = { numBlocks: 128, blockSize: 16, numKvHeads: 8, headDim: 64 }
  const memory = new KvMemory([kvCache(referenceDevice(), shape, 'f32')])
  const block = new Uint8Array(memory.bytesPerBlock).fill(1)
  memory.write(64, block)
  for (const reach of [10, 60, 61]) {
    memory.prepare(reach)
    // two tensors: two steps of two blocks each
    expect(Buffer.from(await memory.read(64)).equals(block)).toBe(reach < 61)
  }
})
