import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { start } from '../testing/spawn.ts'

let folder = ''
let numFiles = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-batch-'))
})
afterAll(() => rm(folder, { recursive: true }))

interface Answer {
  readonly custom_id: string
  readonly response: { readonly status_code: number; readonly body: Readonly<Record<string, unknown>> }
  readonly error: { readonly code: string; readonly message: string } | null
  readonly output: string
}

async function batch(lines: readonly (object | string)[]) {
  const [input, output] = [join(folder, `in-${++numFiles}.jsonl`), join(folder, `out-${numFiles}.jsonl`)]
  await writeFile(input, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))
  const run = (...args: string[]) => start(['run-batch', '-i', input, '-o', output, ...args])
  const answers = async (): Promise<Map<string, Answer>> => {
    const written = (await readFile(output, 'utf8')).split('\n')
    expect(written.pop()).toBe('')
    const parsed = written.map((line) => JSON.parse(line) as Answer)
    const byName = new Map(parsed.map((answer) => [answer.custom_id, answer]))
    expect(byName.size).toBe(parsed.length)
    return byName
  }
  return { input, output, run, answers }
}

function chat(id: string, body: object = {}): object {
  const messages = [{ role: 'user', content: 'What is 3 + 4?' }]
  const whole = { messages, temperature: 0, max_tokens: 6, ...body }
  return { custom_id: id, method: 'POST', url: '/v1/chat/completions', body: whole }
}

function completion(id: string, prompt: string, body: object = {}): object {
  return { custom_id: id, url: '/v1/completions', body: { prompt, temperature: 0, max_tokens: 6, ...body } }
}

describe('lines of OpenAI', () => {
  test('are answered as the server answers, errors too; a second run has nothing to do', async () => {
    const lines = [
      chat('a', { model: 'slipway-mini' }),
      completion('b', 'one two three'),
      chat('wrong model', { model: 'gpt-4' }),
      chat('bad value', { temperature: -1 }),
      chat('stream', { stream: true }),
      { custom_id: 'vectors', url: '/v1/embeddings', body: { input: 'one' } },
    ]
    const { run, answers, output } = await batch(lines)
    const first = await run().ended
    expect(first).toMatchObject({ code: 2, err: '' })
    expect(first.out).toContain('6 of 6 lines answered; 4 failed')
    const found = await answers()
    const llm = await LLM.load(miniModelDirectory)
    const [expected] = await llm.generate(['one two three'], { temperature: 0, maxTokens: 6 })
    await llm.close()
    expect(found.get('b')).toMatchObject({
      response: { status_code: 200, body: { choices: [{ text: expected!.outputs[0]!.text }] } },
      error: null,
    })
    expect(found.get('a')).toMatchObject({ response: { status_code: 200, body: { object: 'chat.completion' } } })
    expect(found.get('wrong model')).toMatchObject({
      response: { status_code: 404 },
      error: { code: 'model_not_found' },
    })
    expect(found.get('bad value')!.error!.message).toContain('temperature')
    expect(found.get('stream')!.error!.message).toContain('remove it')
    expect(found.get('vectors')!.response.status_code).toBe(400)
    const before = await readFile(output, 'utf8')
    const second = await run().ended
    expect(second).toMatchObject({ code: 2, err: '' })
    expect(second.out).toContain('6 by an earlier run; 4 failed')
    expect(await readFile(output, 'utf8')).toBe(before)
  })

  test('go on after a run that was killed, with a torn last line mended', async () => {
    const texts = ['one', 'two three', 'a b c', 'the sun', 'my cat', 'red']
    const { run, answers, output } = await batch(texts.map((text) => completion(text, text)))
    expect((await run().ended).code).toBe(0)
    const whole = await answers()
    const lines = (await readFile(output, 'utf8')).split('\n')
    await writeFile(output, `${lines.slice(0, 2).join('\n')}\n${lines[2]!.slice(0, 40)}`)
    const again = await run('--max-concurrency', '2').ended
    expect(again).toMatchObject({ code: 0, err: '' })
    expect(again.out).toContain('6 of 6 lines answered, 2 by an earlier run; 0 failed')
    const mended = await answers()
    expect([...mended.keys()].toSorted()).toEqual(texts.toSorted())
    const choices = (found: Map<string, Answer>) => texts.map((id) => found.get(id)!.response.body['choices'])
    expect(choices(mended)).toEqual(choices(whole))
  })

  test('end in order on Ctrl-C, and nothing is lost or doubled', async () => {
    const lines = Array.from({ length: 40 }, (_, i) =>
      completion(`n${i}`, `${i} is`, { max_tokens: 150, ignore_eos: true }),
    )
    const { run, answers, output } = await batch(lines)
    const { child, ended } = run('--max-concurrency', '2')
    await expect.poll(() => readFile(output, 'utf8').catch(() => ''), { timeout: 20_000 }).toContain('\n')
    child.kill('SIGINT')
    const { code, out } = await ended
    expect(code).toBe(130)
    expect(out).toContain('goes on from here')
    expect((await answers()).size).toBeLessThan(40)
    expect((await run().ended).code).toBe(0)
    expect((await answers()).size).toBe(40)
  })

  test('that failed are asked again when that is wanted', async () => {
    const { run, output } = await batch([completion('x', 'one', { model: 'other' })])
    expect((await run().ended).code).toBe(2)
    const again = await run('--retry-errors', '--served-model-name', 'other').ended
    expect(again).toMatchObject({ code: 0, err: '' })
    expect((await readFile(output, 'utf8')).trim().split('\n')).toHaveLength(2)
    expect((await run().ended).code).toBe(0)
  })
})

describe('lines of PaddleNLP', () => {
  const src = 'What is 3 + 4?'

  test('have their answer beside them, as the chat template and the flags say', async () => {
    const turns = { src: ['Hello!', 'What is 3 + 4?'], tgt: ['Hello there.', '7'] }
    const { run, answers, input } = await batch([{ src, tgt: 'seven' }, turns])
    const flags = ['--max_length', '6', '--decode-strategy', 'greedy_search', '--src-length', '64', '--batch_size', '1']
    expect(await run(...flags).ended).toMatchObject({ code: 0, err: '' })
    const found = await answers()
    const llm = await LLM.load(miniModelDirectory)
    const messages = [
      { role: 'user', content: 'Hello!' },
      { role: 'assistant', content: 'Hello there.' },
      { role: 'user', content: src },
    ] as const
    const prompts = [llm.renderChat([messages[2]]), llm.renderChat(messages)]
    const expected = await llm.generate(prompts, { temperature: 0, maxTokens: 6 })
    await llm.close()
    const [one, two] = expected.map(({ outputs }) => outputs[0]!.text)
    expect(found.get('line-1')).toEqual({ custom_id: 'line-1', src, tgt: 'seven', output: one })
    expect(found.get('line-2')).toEqual({ custom_id: 'line-2', ...turns, output: two })
    // answers of another input are not taken for those of this one
    await writeFile(input, JSON.stringify({ src: 'Something else' }))
    expect((await run().ended).err).toContain('line-1 is one to another input')
  })

  test('keep the end of a prompt that is too long', async () => {
    const { run, answers } = await batch([{ src: `${'one '.repeat(3000)}` }])
    expect((await run('--max-length', '4').ended).code).toBe(2)
    expect((await answers()).get('line-1')).toMatchObject({ output: null, error: { code: 'context_length_exceeded' } })
    expect((await run('--max-length', '4', '--src-length', '32', '--retry-errors').ended).code).toBe(0)
  })
})

describe('mistakes show before anything is computed', () => {
  test.each<[string, (object | string)[], string[], string]>([
    ['no JSON', [chat('a'), '{"custom_id'], [], 'jsonl:2: '],
    ['no name', [{ url: '/v1/completions', body: {} }], [], 'jsonl:1: "custom_id" must be'],
    ['no object', ['[1]'], [], 'a line is an object'],
    ['a route', [{ ...chat('a'), url: '/v1/images' }], [], '"url" is "/v1/images"; use one of /v1/chat/completions'],
    ['a method', [{ ...chat('a'), method: 'GET' }], [], 'only POST'],
    ['no body', [{ custom_id: 'a', url: '/v1/completions' }], [], '"body" must be an object'],
    ['a name twice', [chat('a'), chat('a')], [], 'the custom_id "a" comes twice'],
    ['nothing', [], [], 'there is no line'],
    ['a src that is no text', [{ src: 4 }], [], '"src" must be a text'],
    ['turns that end with an answer', [{ src: ['a', 'b'] }], [], 'odd number of turns'],
    ['turns without answers', [{ src: ['a', 'b'], tgt: [] }], [], '"tgt" must have a text'],
    ['a flag without lines for it', [chat('a')], ['--top-k', '4'], '--top-k: it is for lines with "src"'],
    [
      'a flag of another machine',
      [{ src: 'a' }],
      ['--block_attn', '1'],
      '--block_attn: keys and values are always paged',
    ],
    ['lengths', [{ src: 'a' }], ['--src-length', '9000', '--max-length', '9000'], 'exceed the model'],
    ['a length', [{ src: 'a' }], ['--max-length', '0'], '--max-length: 0 is no count'],
    [
      'flags at odds',
      [{ src: 'a' }],
      ['--decode-strategy', 'greedy_search', '--temperature', '1'],
      'contradicts --decode-strategy',
    ],
    ['a parser', [chat('a')], ['--reasoning-parser', 'none-such'], 'there is no reasoning parser "none-such"'],
  ])('%s', async (_, lines, args, message) => {
    const { run } = await batch(lines)
    const { code, out, err } = await run(...args).ended
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
  })

  test('an output that is none', async () => {
    const { run, input, output } = await batch([chat('a')])
    await writeFile(output, 'my notes\n')
    expect((await run().ended).err).toContain(`${output}:1 is no answer of a batch`)
    expect(await readFile(output, 'utf8')).toBe('my notes\n')
    await appendFile(input, '\n')
    expect((await start(['run-batch', '-i', input, '-o', input]).ended).err).toContain('--output: it is the input')
    const missing = await start(['run-batch', '-i', join(folder, 'none'), '-o', output]).ended
    expect(missing.err).toContain('--input: ')
    expect(missing.err).not.toMatch(/\n\s+at /)
  })
})

test('standard input is read', async () => {
  const output = join(folder, 'from-pipe.jsonl')
  const { code, out } = await start(['run-batch', '-i', '-', '-o', output], JSON.stringify(chat('a'))).ended
  expect({ code, out: out.split('\n')[0] }).toEqual({ code: 0, out: '1 of 1 lines answered; 0 failed' })
})
