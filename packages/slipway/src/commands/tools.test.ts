import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { environmentFacts } from '../environment-report.ts'
import { start } from '../testing/spawn.ts'

afterEach(() => vi.unstubAllEnvs())

describe('tokenizer', () => {
  const text = 'What is 3 + 4?'

  test('gives the ids that the model gets, and the text back', async () => {
    const tokenizer = await Tokenizer.load(miniModelDirectory)
    const ids = tokenizer.encode(text, { addSpecialTokens: false })
    const encoded = await start(['tokenizer', 'encode', '--no-special-tokens'], `${text}\n`).ended
    expect(encoded).toEqual({ code: 0, err: '', out: `${ids.join(' ')}\n` })
    const decoded = await start(['tokenizer', miniModelDirectory, 'decode'], encoded.out).ended
    expect(decoded).toEqual({ code: 0, err: '', out: `${text}\n` })
    const asList = await start(['tokenizer', 'decode', '--json', '--skip-special-tokens', '-t', JSON.stringify(ids)])
      .ended
    expect(JSON.parse(asList.out)).toEqual({ text })
  })

  test('counts, and names tokens', async () => {
    const counted = await start(['tokenizer', 'count', '-t', text, 'a', '--no-special-tokens']).ended
    const tokenizer = await Tokenizer.load(miniModelDirectory)
    const counts = [text, 'a'].map((one) => tokenizer.encode(one, { addSpecialTokens: false }).length)
    expect(counted.out).toBe(`${counts.join('\n')}\n`)
    const json = await start(['tokenizer', 'count', '--json', '--no-special-tokens', '-t', text]).ended
    expect(JSON.parse(json.out)).toEqual({ tokens: counts[0] })
    const { ids, tokens } = JSON.parse((await start(['tokenizer', 'encode', '--json', '-t', text]).ended).out) as {
      ids: number[]
      tokens: string[]
    }
    expect(tokens).toEqual(ids.map((id) => tokenizer.idToToken(id)))
  })

  test('tells of itself', async () => {
    const file = JSON.parse(await readFile(join(miniModelDirectory, 'tokenizer.json'), 'utf8')) as {
      added_tokens: { id: number; content: string; special: boolean }[]
    }
    const special = file.added_tokens.filter((token) => token.special).map(({ id, content: token }) => ({ id, token }))
    const facts = JSON.parse((await start(['tokenizer', 'info', '--json']).ended).out) as object
    expect(facts).toMatchObject({ hasChatTemplate: true, specialTokens: special.toSorted((a, b) => a.id - b.id) })
    const { out } = await start(['tokenizer', 'info']).ended
    expect(out).toMatch(/^vocabulary: +\d+ tokens$/m)
    expect(out).toContain(`${special[0]!.token} (${special[0]!.id})`)
  })

  test.each<[string[], string]>([
    [['encode', 'some text'], 'tokenizer encode some text: say [model] and one of encode, decode, count, info'],
    [['decode', '-t', '1 x'], '"x" is no token id'],
    [['decode', '-t', '99999999'], '"99999999" is no token id'],
    [['decode', '--no-special-tokens', '-t', '1'], '--no-special-tokens: it belongs to encode and count'],
    [['encode', '--skip-special-tokens', '-t', '1'], '--skip-special-tokens: it belongs to decode'],
    [['info', '-t', '1'], '--text: it belongs to'],
    [['/no/such/folder', 'info'], '/no/such/folder'],
  ])('%j is refused', async (args, message) => {
    const { code, out, err } = await start(['tokenizer', ...args]).ended
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
  })
})

describe('collect-env', () => {
  test('tells versions, machine, limits and settings, without secrets', async () => {
    vi.stubEnv('SLIPWAY_API_KEY', 'sk-very-secret')
    vi.stubEnv('SLIPWAY_APY_KEY', 'sk-misspelt-secret')
    vi.stubEnv('SLIPWAY_PORT', '8123')
    const { code, out, err } = await start(['collect-env', '--json']).ended
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).not.toMatch(/sk-/)
    expect(JSON.parse(out)).toMatchObject({
      versions: { slipway: '0.1.0', node: process.version },
      machine: { processor: expect.stringMatching(/\d+ cores/) as string },
      native: { kernels: expect.any(String) as string },
      limits: process.platform === 'linux' ? { 'open files': expect.stringMatching(/^\d+$|unlimited/) as string } : {},
      environment: { SLIPWAY_API_KEY: '***', SLIPWAY_APY_KEY: '*** (not a setting)', SLIPWAY_PORT: '8123' },
    })
  })

  test('says why there are no kernels', async () => {
    vi.stubEnv('SLIPWAY_NATIVE', 'off')
    const { code, out } = await start(['collect-env']).ended
    expect(code).toBe(0)
    expect(out).toMatch(/^ {2}kernels: +reference \(TypeScript\), because SLIPWAY_NATIVE=off is set$/m)
    expect(out).toMatch(/^ {2}remedy: +unset SLIPWAY_NATIVE$/m)
  })

  test('masks what is in addresses and tokens of others', () => {
    const facts = environmentFacts({
      HF_TOKEN: 'hf_abc',
      https_proxy: 'http://me:word@proxy:3128',
      PATH: '/bin',
      SLIPWAY_ISA: 'avx2',
    })
    expect(facts).toEqual([
      ['HF_TOKEN', '***'],
      ['SLIPWAY_ISA', 'avx2'],
      ['https_proxy', 'http://***@proxy:3128'],
    ])
  })
})
