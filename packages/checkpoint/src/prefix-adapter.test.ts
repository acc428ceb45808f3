import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openAdapter } from './adapter.ts'

const fixtures = fileURLToPath(new URL('../../models/fixtures-adapters/qwen3/', import.meta.url))

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'slipway-prefix-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const copy = (name: string): void => cpSync(fixtures + name, folder, { recursive: true })
const change = (file: string, changes: object): void => {
  const path = join(folder, file)
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...changes }))
}

test('each kind of adapter is known by its files', async () => {
  const opened = await Promise.all(['lora-0', 'prefix-19', 'prefix-21'].map((name) => openAdapter(fixtures + name)))
  const common = { kind: 'prefix', width: 32 }
  expect(opened[0]).toMatchObject({ kind: 'lora' })
  expect(opened[1]).toMatchObject({ ...common, numTokens: 5, firstPosition: 5 })
  expect(opened[2]).toMatchObject({ ...common, numTokens: 9, firstPosition: 0 })
  expect(new Set(opened.map(({ digest }) => digest)).size).toBe(3)
  for (const adapter of opened) adapter.close()
})

test.each([
  [{ num_virtual_tokens: 6 }, 'has shape [5,128], adapter_config.json asks for [6, 128]'],
  [{ num_layers: null }, '"num_layers" is missing'],
  [{ num_transformer_submodules: 2 }, '"num_transformer_submodules" is 2'],
  [{ modules_to_save: ['lm_head'] }, '"modules_to_save" is ["lm_head"]'],
  [{ peft_type: 'PROMPT_TUNING' }, 'only LORA and PREFIX_TUNING'],
])('PEFT: %j is refused', async (changes, text) => {
  copy('prefix-19')
  change('adapter_config.json', changes)
  await expect(openAdapter(folder)).rejects.toThrow(text)
})

test('PaddleNLP: files that do not belong together, or are pickled, are refused', async () => {
  copy('prefix-21')
  change('prefix_config.json', { num_prefix_tokens: 8 })
  await expect(openAdapter(folder)).rejects.toThrow('shape [2,2,2,9,16]; expected [layers, 2, heads, 8, head size]')
  rmSync(join(folder, 'pre_caches.npy'))
  await expect(openAdapter(folder)).rejects.toThrow('has prefix_config.json and no pre_caches.npy')
})

const header = (text: string): Buffer => {
  const start = Buffer.from('\x93NUMPY\x02\x00\x00\x00\x00\x00', 'latin1')
  start.writeUInt32LE(text.length, 8)
  return Buffer.concat([start, Buffer.from(text)])
}

test.each<[string, Buffer, string]>([
  ['nothing', Buffer.alloc(4), 'is not an array of numpy'],
  ['integers', header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}"), 'expected f4, f2 or bfloat16'],
  ['columns', header("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}"), 'in C order'],
  ['too little', header("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}"), 'has 0 bytes for shape [3]'],
])('npy: %s', async (_, bytes, text) => {
  copy('prefix-21')
  writeFileSync(join(folder, 'pre_caches.npy'), bytes)
  await expect(openAdapter(folder)).rejects.toThrow(text)
})
