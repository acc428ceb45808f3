import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { didYouMean, nearestNames } from './nearest-names.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { openTensors } from './tensor-source.ts'

const root = mkdtempSync(join(tmpdir(), 'slipway-tensors-'))
afterAll(() => rmSync(root, { recursive: true }))

const one = { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'u8', shape: [2], bytes: Uint8Array.of(1, 2) } as const
const two = { name: 'model.layers.1.mlp.up_proj.weight', dtype: 'u8', shape: [1], bytes: Uint8Array.of(3) } as const

async function sharded(weightMap: unknown): Promise<string> {
  const directory = mkdtempSync(join(root, 'sharded-'))
  await writeSafetensors(join(directory, 'model-00001-of-00002.safetensors'), [one])
  await writeSafetensors(join(directory, 'model-00002-of-00002.safetensors'), [two])
  writeFileSync(
    join(directory, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: {}, weight_map: weightMap }),
  )
  return directory
}

const goodMap = {
  [one.name]: 'model-00001-of-00002.safetensors',
  [two.name]: 'model-00002-of-00002.safetensors',
}

test('one file', async () => {
  const directory = mkdtempSync(join(root, 'single-'))
  await writeSafetensors(join(directory, 'model.safetensors'), [one, two])
  const source = await openTensors(directory)
  expect(source.names).toEqual([one.name, two.name])
  expect(source.totalBytes).toBe(3)
  expect(source.has(one.name)).toBe(true)
  expect(source.has('lm_head.weight')).toBe(false)
  expect(source.info(two.name)).toMatchObject({ shape: [1], dtype: 'u8' })
  expect(source.bytes(one.name)).toEqual(one.bytes)
  source.close()
})

describe('shards', () => {
  test('each tensor comes from its own', async () => {
    const source = await openTensors(await sharded(goodMap))
    expect(source.names).toEqual([one.name, two.name])
    expect(source.bytes(one.name)).toEqual(one.bytes)
    expect(source.bytes(two.name)).toEqual(two.bytes)
    source.close()
  })

  test('an absent name is answered with the nearest ones', async () => {
    const source = await openTensors(await sharded(goodMap))
    expect(() => source.info('model.layers.1.mlp.up_proj.wieght')).toThrow(
      `has no tensor "model.layers.1.mlp.up_proj.wieght"; the nearest are "${two.name}", "${one.name}"`,
    )
    expect(() => source.bytes('x')).toThrow('has no tensor "x"; the nearest are')
    source.close()
  })

  test.each([
    [{ ...goodMap, a: 'model-00003-of-00003.safetensors' }, 'missing, though'],
    [{ ...goodMap, a: 'model-00001-of-00002.safetensors' }, 'has no tensor "a", which model.safetensors.index.json'],
    [{ a: '../x.safetensors' }, 'weight_map sends "a" to "../x.safetensors"'],
    [{ a: '/etc/x.safetensors' }, 'weight_map sends "a" to "/etc/x.safetensors"'],
    [{ a: 'sub\\x.safetensors' }, 'weight_map sends "a" to'],
    [{ a: '..safetensors' }, 'weight_map sends "a" to'],
    [{ a: 'pytorch_model.bin' }, 'weight_map sends "a" to'],
    [{ a: 1 }, 'weight_map sends "a" to 1'],
    [[], 'weight_map must be an object'],
    [undefined, 'weight_map must be an object, found undefined'],
  ])('%j is refused', async (map, message) => {
    await expect(openTensors(await sharded(map))).rejects.toThrow(message)
  })
})

test('a directory without weights', async () => {
  const directory = mkdtempSync(join(root, 'empty-'))
  await expect(openTensors(directory)).rejects.toThrow('has neither model.safetensors nor model.safetensors.index.json')
})

test('a foreign dtype is listed, and refused when it is asked for', async () => {
  const directory = mkdtempSync(join(root, 'foreign-'))
  const header = Buffer.from('{"m":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}')
  const file = Buffer.alloc(8 + header.length + 1)
  file.writeBigUInt64LE(BigInt(header.length))
  header.copy(file, 8)
  writeFileSync(join(directory, 'model.safetensors'), file)
  const source = await openTensors(directory)
  expect(source.has('m')).toBe(true)
  expect(source.totalBytes).toBe(1)
  expect(() => source.info('m')).toThrow('tensor "m" has dtype BOOL')
  expect(() => source.bytes('m')).toThrow('tensor "m" has dtype BOOL')
  source.close()
})

test('nearest names', () => {
  expect(nearestNames('kitten', ['mitten', 'sitting', 'kit', 'dog'])).toEqual(['mitten', 'kit', 'sitting'])
  expect(nearestNames('x', [])).toEqual([])
  const known = ['max_tokens', 'temperature', 'n']
  expect(didYouMean('maxTokens', known)).toBe('; did you mean max_tokens?')
  expect(didYouMean('temprature', known)).toBe('; did you mean temperature?')
  expect(didYouMean('something_else', known)).toBe('')
  expect(didYouMean('temperature'.padEnd(1e6, 'e'), ['temperature'.padEnd(1e6, 'x')])).toBe('')
})
