import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import type { Engine } from './engine.ts'
import type { EngineOptions } from './options.ts'
import { addRequest, Answers, drain, openEngine, tinyModel, type Answer } from './testing/harness.ts'

const adapterFolder = fileURLToPath(new URL('../../models/fixtures-adapters/', import.meta.url))

interface Golden {
  readonly adapters: readonly {
    readonly name: string
    readonly prompts: readonly { readonly ids: number[]; readonly greedy: number[] }[]
  }[]
}
const { adapters: golden } = JSON.parse(readFileSync(`${adapterFolder}qwen3/golden.json`, 'utf8')) as Golden
const names = golden.map(({ name }) => name)
const greedy = { temperature: 0, maxTokens: 20, ignoreEos: true }

async function open(options: EngineOptions, loaded: readonly string[] = names) {
  const opened = await openEngine({ enableLora: true, maxNumSeqs: 64, ...options })
  for (const name of loaded) await opened.adapters!.load(name, `${adapterFolder}qwen3/${name}`)
  return opened
}

function ask(engine: Engine, name: string | undefined, ids: readonly number[], id = name ?? 'none'): void {
  addRequest(engine, id, ids, greedy, {}, name === undefined ? {} : { lora: name })
}

/** Twice: in captured steps, and with log-probabilities, which show every bit and are computed otherwise. */
function askForBits(engine: Engine, name: string | undefined): void {
  const ids = prompts.get(name ?? 'lora-0')!
  ask(engine, name, ids)
  addRequest(
    engine,
    `${name ?? 'none'} bits`,
    ids,
    { ...greedy, logprobs: 3 },
    {},
    name === undefined ? {} : { lora: name },
  )
}

const prompts = new Map(golden.map(({ name, prompts: [first] }) => [name, first!.ids]))

describe.each(['cpu', 'reference'] as const)('LoRA on %s', (device) => {
  const isThere = device === 'reference' || cpuAvailable().available

  test.skipIf(!isThere)('sixteen adapters in one batch answer as their merged checkpoints', async () => {
    const { engine } = await open({ device, maxLoras: 16 })
    for (const { name, prompts: list } of golden)
      for (const [i, { ids }] of list.entries()) ask(engine, name, ids, `${name} ${i}`)
    const answers = await drain(engine)
    for (const { name, prompts: list } of golden)
      for (const [i, prompt] of list.entries())
        expect(answers.get(`${name} ${i}/0`)?.tokenIds, name).toEqual(prompt.greedy)
  })
})

describe.skipIf(!cpuAvailable().available)('LoRA', () => {
  const forms: [string, EngineOptions][] = [
    ['f32', {}],
    ['small steps and blocks', { maxNumBatchedTokens: 24, maxNumSeqs: 24, blockSize: 4 }],
    ['wint4', { quantization: 'wint4' }],
    ['wint8 in bf16', { quantization: 'wint8', dtype: 'bfloat16' }],
  ]

  test.each(forms)('%s: a row has the bits that it has alone, whoever is in the batch', async (_, options) => {
    const alone = new Map<string, Answer>()
    for (const name of [undefined, ...names.slice(0, 5)]) {
      // another place, and nobody else
      const { engine } = await open({ ...options, maxLoras: 1, threads: 1 }, name ? [name] : [])
      askForBits(engine, name)
      for (const [key, answer] of await drain(engine)) alone.set(key, answer)
    }
    const plain = await openEngine({ ...options, maxNumSeqs: 24 })
    askForBits(plain.engine, undefined)
    for (const [key, answer] of await drain(plain.engine))
      expect(answer, 'room for adapters changes no bit').toEqual(alone.get(key))

    const { engine } = await open({ ...options, maxLoras: 16, threads: 2 })
    askForBits(engine, undefined)
    for (const name of names) askForBits(engine, name)
    const together = await drain(engine)
    for (const [key, answer] of alone) expect(together.get(key), key).toEqual(answer)
  })

  test('adapters never share cached keys and values, but the same adapter under two names does', async () => {
    const { engine, adapters } = await open({ maxLoras: 4, blockSize: 4 }, ['lora-0', 'lora-1'])
    await adapters!.load('again', `${adapterFolder}qwen3/lora-0`)
    const ids = golden[0]!.prompts[1]!.ids
    const cached = async (name: string | undefined, id: string): Promise<number> => {
      ask(engine, name, ids, id)
      const outputs = []
      while (engine.hasWork) outputs.push(...(await engine.step()))
      return outputs.find(({ numCachedTokens }) => numCachedTokens !== undefined)!.numCachedTokens!
    }
    expect(await cached('lora-0', 'a')).toBe(0)
    expect(await cached('lora-1', 'b')).toBe(0)
    expect(await cached(undefined, 'c')).toBe(0)
    expect(await cached('lora-0', 'd')).toBe(20)
    expect(await cached('again', 'e')).toBe(20)
  })

  test('more adapters than places take turns, and each still answers as it should', async () => {
    const { engine } = await open({ maxLoras: 3 })
    for (const name of [...names, ...names]) ask(engine, name, prompts.get(name)!, `${name} ${Math.random()}`)
    ask(engine, undefined, prompts.get('lora-0')!)
    const answers = await drain(engine)
    expect(answers.size).toBe(2 * names.length + 1)
    for (const [key, { tokenIds, finishReason }] of answers) {
      expect(finishReason).toBe('length')
      const expected = golden.find(({ name }) => key.startsWith(`${name} `))?.prompts[0]?.greedy
      if (expected) expect(tokenIds, key).toEqual(expected)
    }
  })

  test('an adapter that is unloaded while it is used stays to the end of its requests', async () => {
    const { engine, adapters } = await open({ maxLoras: 1 }, ['lora-0'])
    const answers = new Answers()
    ask(engine, 'lora-0', prompts.get('lora-0')!)
    answers.take(await engine.step())
    answers.take(await engine.step())
    adapters!.unload('lora-0')
    expect(adapters!.list).toEqual([])
    // the place is in use; this one has to wait for it
    await adapters!.load('lora-1', `${adapterFolder}qwen3/lora-1`)
    ask(engine, 'lora-1', prompts.get('lora-1')!)
    await drain(engine, answers)
    expect(answers.all.get('lora-0/0')!.tokenIds).toEqual(golden[0]!.prompts[0]!.greedy)
    expect(answers.all.get('lora-1/0')!.tokenIds).toEqual(golden[1]!.prompts[0]!.greedy)
  })

  test('what waits for a place can be aborted, and an adapter that is gone ends its request', async () => {
    const { engine, adapters } = await open({ maxLoras: 1 }, ['lora-0', 'lora-1', 'lora-2'])
    for (const name of ['lora-0', 'lora-1', 'lora-2']) ask(engine, name, prompts.get(name)!)
    await engine.step()
    expect(engine.abort('lora-1')).toMatchObject([{ finish: { reason: 'abort' } }])
    const answers = await drain(engine)
    expect(answers.get('lora-2/0')!.tokenIds).toEqual(golden[2]!.prompts[0]!.greedy)
    adapters!.unload('lora-2')
    ask(engine, 'lora-2', prompts.get('lora-2')!, 'late')
    expect(await engine.step()).toMatchObject([
      {
        requestId: 'late',
        finish: { reason: 'error' },
        error: { message: expect.stringContaining('no adapter "lora-2"') },
      },
    ])
    engine.checkIdle()
    expect(() => adapters!.unload('lora-2')).toThrow('there is no adapter "lora-2"; loaded: lora-0, lora-1')
    await expect(adapters!.load('lora-0', 'anywhere')).rejects.toThrow('"lora-0" is loaded already')
    await expect(adapters!.load('new', 'nowhere')).rejects.toThrow('nowhere: has no adapter_config.json')
  })

  test('adapters come and go under traffic, and nobody notices', async () => {
    const { engine, adapters } = await open({ maxLoras: 4, maxNumSeqs: 8 }, [])
    const answers = new Answers()
    let numAsked = 0
    for (let round = 0; round < 24; round++) {
      const name = names[(round * 7) % names.length]!
      await adapters!.load(name, `${adapterFolder}qwen3/${name}`)
      for (let i = 0; i < 3; i++) ask(engine, name, prompts.get(name)!, `${name} ${numAsked++}`)
      for (let steps = 0; steps < 6; steps++) answers.take(await engine.step())
      adapters!.unload(name)
    }
    await drain(engine, answers)
    expect(answers.all.size).toBe(numAsked)
    for (const [key, { tokenIds }] of answers.all)
      expect(tokenIds, key).toEqual(golden.find(({ name }) => key.startsWith(`${name} `))!.prompts[0]!.greedy)
  })

  test('MoE attention projections take adapters', async () => {
    const folder = `${adapterFolder}qwen3-moe/`
    const moe = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as Golden
    const opened = await openEngine({ enableLora: true }, tinyModel.replace(/qwen3$/, 'qwen3-moe'))
    const [
      {
        name,
        prompts: [prompt],
      },
    ] = moe.adapters as [Golden['adapters'][number]]
    await opened.adapters!.load(name, folder + name)
    ask(opened.engine, name, prompt!.ids)
    ask(opened.engine, undefined, prompt!.ids)
    const answers = await drain(opened.engine)
    expect(answers.get(`${name}/0`)!.tokenIds).toEqual(prompt!.greedy)
    expect(answers.get('none/0')!.tokenIds).not.toEqual(prompt!.greedy)
  })
})

describe.skipIf(!cpuAvailable().available)('with an adapter', () => {
  const { name, prompts: list } = golden[0]!
  const { ids, greedy: expected } = list[0]!

  test('a beam search of width 1 is greedy, wider ones are their own in a crowd, and the adapter can go afterwards', async () => {
    const search = async (beamWidth: number, crowd: boolean) => {
      const { engine, adapters, device } = await open({ maxLoras: 2, blockSize: 4 })
      const beamSearch = { beamWidth, lengthPenalty: 1, earlyStopping: false }
      addRequest(engine, 'beams', ids, { n: beamWidth, maxTokens: 20, ignoreEos: true }, {}, { lora: name, beamSearch })
      if (crowd) for (const other of names.slice(1, 5)) ask(engine, other, prompts.get(other)!)
      const answers = await drain(engine)
      // each sequence has left its place, so that all of them fit again
      for (const other of names) adapters!.unload(other)
      expect(adapters!.list).toEqual([])
      engine.checkIdle()
      device.close()
      return Array.from({ length: beamWidth }, (_, i) => answers.get(`beams/${i}`)!)
    }
    const [single] = await search(1, false)
    expect(single!.tokenIds).toEqual(expected)
    expect(await search(3, true)).toEqual(await search(3, false))
  })

  test('an abort ends a beam search that waits for its adapter', async () => {
    const { engine, device } = await open({ maxLoras: 1 })
    ask(engine, names[1], prompts.get(names[1]!)!)
    const beamSearch = { beamWidth: 2, lengthPenalty: 1, earlyStopping: false }
    addRequest(engine, 'beams', ids, { n: 2, maxTokens: 20 }, {}, { lora: name, beamSearch })
    await engine.step()
    expect(engine.abort('beams')).toHaveLength(2)
    await drain(engine)
    engine.checkIdle()
    device.close()
  })
})
