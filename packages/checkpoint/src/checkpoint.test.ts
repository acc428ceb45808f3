import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openCheckpoint, readConfig } from './checkpoint.ts'
import { parseGenerationConfig, readGenerationConfig } from './generation-config.ts'
import { readJsonObject, show } from './json-file.ts'
import { writeSafetensors } from './safetensors-writer.ts'

const root = mkdtempSync(join(tmpdir(), 'slipway-checkpoint-'))
afterAll(() => rmSync(root, { recursive: true }))

function makeDirectory(files: Readonly<Record<string, unknown>>): string {
  const directory = mkdtempSync(join(root, 'model-'))
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return directory
}

const config = {
  architectures: ['LlamaForCausalLM'],
  vocab_size: 10,
  hidden_size: 8,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 16,
}

describe('a checkpoint', () => {
  test('opens with its parts', async () => {
    const directory = makeDirectory({ 'config.json': config, 'generation_config.json': { temperature: 0.5 } })
    const tensor = { name: 'w', dtype: 'u8', shape: [2], bytes: Uint8Array.of(1, 2) } as const
    await writeSafetensors(join(directory, 'model.safetensors'), [tensor])
    const checkpoint = await openCheckpoint(directory)
    expect(checkpoint.directory).toBe(directory)
    expect(checkpoint.config.vocabSize).toBe(10)
    expect(checkpoint.generationConfig.temperature).toBe(0.5)
    expect(checkpoint.tensors.bytes('w')).toEqual(tensor.bytes)
    checkpoint.close()
    expect(() => checkpoint.tensors.bytes('w')).toThrow('is closed')
  })

  test('says what is missing', async () => {
    await expect(readConfig(join(root, 'none'))).rejects.toThrow('has no config.json')
    await expect(openCheckpoint(makeDirectory({}))).rejects.toThrow('has no config.json')
    await expect(openCheckpoint(makeDirectory({ 'config.json': config }))).rejects.toThrow(
      'has neither model.safetensors',
    )
  })
})

describe('JSON files', () => {
  test('a byte order mark is no fault', async () => {
    const directory = makeDirectory({ 'a.json': '\ufeff{"a":1}' })
    expect(await readJsonObject(join(directory, 'a.json'))).toEqual({ a: 1 })
  })

  test.each([
    ['{', 'not valid JSON'],
    ['version https://git-lfs.github.com/spec/v1', 'run "git lfs pull"'],
    ['[1]', 'expected a JSON object, found [1]'],
  ])('%j', async (text, message) => {
    const directory = makeDirectory({ 'config.json': text })
    await expect(readConfig(directory)).rejects.toThrow(message)
    await expect(readConfig(directory)).rejects.toMatchObject({ kind: 'checkpoint' })
  })

  test('a directory instead of a file', async () => {
    await expect(readJsonObject(root)).rejects.toThrow('cannot be read: EISDIR')
  })

  test('long values are cut in messages', () => {
    expect(show('x'.repeat(100))).toHaveLength(80)
    expect(show(undefined)).toBe('undefined')
  })
})

describe('generation config', () => {
  test('all keys, frozen', () => {
    const parsed = parseGenerationConfig({
      eos_token_id: [1, 2],
      temperature: 0.6,
      top_k: 20,
      top_p: 0.95,
      min_p: 0,
      repetition_penalty: 1.05,
      max_new_tokens: 100,
      do_sample: true,
      transformers_version: '5.0',
    })
    expect(parsed).toEqual({
      eosTokenIds: [1, 2],
      temperature: 0.6,
      topK: 20,
      topP: 0.95,
      minP: 0,
      repetitionPenalty: 1.05,
      maxNewTokens: 100,
      doSample: true,
    })
    expect(Object.isFrozen(parsed)).toBe(true)
  })

  test('null is absent, and so is the file', async () => {
    expect(parseGenerationConfig({ temperature: null, eos_token_id: 3 })).toEqual({ eosTokenIds: [3] })
    expect(await readGenerationConfig(makeDirectory({}))).toEqual({ eosTokenIds: [] })
  })

  test.each([
    ['temperature', -1],
    ['top_k', 0.5],
    ['top_p', 2],
    ['min_p', -0.1],
    ['repetition_penalty', 0],
    ['max_new_tokens', 0],
    ['do_sample', 'yes'],
    ['eos_token_id', ['</s>']],
  ])('%s: %j', (key, value) => {
    expect(() => parseGenerationConfig({ [key]: value })).toThrow(`generation_config.json: "${key}" is`)
  })
})
