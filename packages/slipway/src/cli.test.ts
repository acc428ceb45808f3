import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cpuAvailable } from '@slipway/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { miniModelDirectory } from './index.ts'
import { start } from './testing/spawn.ts'

const greedy = ['--temperature', '0', '--max-tokens', '12']

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-cli-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('serve refuses an unknown parser before it loads', async () => {
  const { code, err } = await start(['serve', '--tool-call-parser', 'gpt']).ended
  expect(code).toBe(1)
  expect(err).toContain('there is no tool call parser "gpt"; use one of hermes')
})

describe('generate', () => {
  test('writes one line per prompt, in order', async () => {
    const input = join(folder, 'in.jsonl')
    const output = join(folder, 'out.jsonl')
    const lines = [{ prompt: 'one two three' }, { messages: [{ role: 'user', content: 'Hello!' }] }]
    await writeFile(input, lines.map((line) => JSON.stringify(line)).join('\n'))
    const { code, err } = await start(['generate', '-i', input, '-o', output, ...greedy]).ended
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const results = (await readFile(output, 'utf8')).trim().split('\n')
    expect(results.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { prompt: 'one two three', outputs: [{ finishReason: expect.stringMatching(/stop|length/) as string }] },
      { messages: lines[1]!.messages, outputs: [{ text: expect.stringMatching(/\w/) as string }] },
    ])
  })

  test('reads standard input and names the line at fault', async () => {
    const good = await start(['generate', '-i', '-', ...greedy], '{"prompt":"a b c"}\n').ended
    expect(JSON.parse(good.out)).toMatchObject({ prompt: 'a b c' })
    const bad = await start(['generate', '-i', '-'], '{"prompt":"a"}\n{"promt":"b"}\n').ended
    expect(bad).toMatchObject({ code: 1, out: '' })
    expect(bad.err).toContain('standard input:2')
    const between = await start(['generate', '-i', '-'], '{"prompt":"a","suffix":"b"}\n').ended
    expect(between.err).toContain('no tokens for filling in')
  })
})

test('generate and chat answer with an adapter', async () => {
  const folder = fileURLToPath(new URL('../../models/fixtures-adapters/mini/lora-18', import.meta.url))
  const lora = ['--lora-modules', `poet=${folder}`]
  const [plain, adapted] = await Promise.all(
    [[], ['--lora', 'poet']].map(
      (asked) => start(['generate', '-p', 'one two three', ...lora, ...asked, ...greedy]).ended,
    ),
  )
  expect([plain!.code, adapted!.code]).toEqual([0, 0])
  expect(adapted!.out).not.toBe(plain!.out)
  const chat = await start(['chat', '-m', 'Hello!', ...lora, '--lora', 'prosaist', ...greedy]).ended
  expect(chat).toMatchObject({ code: 1, err: expect.stringContaining('no adapter "prosaist"; loaded: poet') as string })
})

test('complete and chat stream to standard output', async () => {
  const complete = await start(['complete', '-p', 'one two', ...greedy]).ended
  expect(complete).toMatchObject({ code: 0, err: '' })
  expect(complete.out.startsWith('one two')).toBe(true)
  const once = await start(['chat', '-m', 'Hello!', ...greedy]).ended
  expect(once.code).toBe(0)
  const talk = await start(['chat', ...greedy], 'Hello!\n/clear\nHello!\n').ended
  expect(talk.code).toBe(0)
  expect(talk.out).toBe(once.out + once.out)
})

test.skipIf(process.platform !== 'linux' || availableParallelism() < 2 || !cpuAvailable().available)(
  'serve --pin-threads keeps the engine and its helper on cores of their own',
  async () => {
    const { child, ended, until } = start([
      'serve',
      '--port',
      '0',
      '--device',
      'cpu',
      '--threads',
      '2',
      '--pin-threads',
    ])
    await until(/curl (http:\S+?)\/v1/)
    const threads = await readdir(`/proc/${child.pid}/task`)
    const lists = await Promise.all(
      threads.map(async (id) => {
        const status = await readFile(`/proc/${child.pid}/task/${id}/status`, 'utf8')
        return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)![1]!
      }),
    )
    const pinned = lists.filter((list) => /^\d+$/.test(list))
    expect(pinned).toHaveLength(2)
    expect(new Set(pinned).size).toBe(2)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(0)
  },
)

test('serve answers, prints a curl line that names it, and ends on SIGTERM', async () => {
  const { child, ended, until } = start([
    'serve',
    miniModelDirectory,
    '--port',
    '0',
    '--served-model-name',
    'tiny',
    '--dtype',
    'float32',
  ])
  const url = await until(/curl (http:\S+?)\/v1/)
  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] }
  expect(models.data.map((model) => model.id)).toEqual(['tiny'])
  const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 })
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })
  expect(answer.status).toBe(200)
  child.kill('SIGTERM')
  expect((await ended).code).toBe(0)
})

test('doctor names the kernels', async () => {
  const { code, out } = await start(['doctor']).ended
  expect(code).toBe(0)
  expect(out).toMatch(/kernels:.*\n/)
  expect(out).toMatch(/packed weights: .*packed: \d+ files, \d/)
})

describe('mistakes end with one clear line', () => {
  test.each<[string, string[], string]>([
    ['no such model', ['generate', '/no/such/folder', '-p', 'x'], 'folder'],
    ['an unknown flag', ['serve', '--tensor-parallel', '2'], "unknown option '--tensor-parallel'"],
    ['a bad choice', ['serve', '--dtype', 'int3'], 'Allowed choices are auto, float32, bfloat16, float16'],
    ['a bad port', ['serve', '--port', '99999'], 'option port: Too big'],
    ['two models', ['serve', '/a', '--model', '/b'], 'the model is given twice'],
    ['an unknown key of a file', ['serve', '--config', miniModelDirectory + '/config.json'], 'there is no setting'],
    ['a bad parameter', ['generate', '-p', 'x', '--temperature', '-1'], 'temperature'],
    ['a length that the model lacks', ['serve', '--port', '0', '--max-model-len', '9999999'], 'maxModelLen'],
    [
      'more pinned threads than cores',
      ['serve', '--threads', '250', '--pin-threads'],
      cpuAvailable().available ? 'option pinThreads: 250 threads need' : 'option pinThreads: the reference',
    ],
    [
      'pinning without threads',
      ['serve', '--device', 'reference', '--pin-threads'],
      'option pinThreads: the reference',
    ],
    ['nothing to do', ['generate'], 'nothing to complete'],
    ['a suffix that the model has no tokens for', ['complete', '-p', 'a', '--suffix', 'b'], 'no tokens for filling in'],
  ])('%s', async (_, args, message) => {
    const { code, err } = await start(args).ended
    expect(code).toBe(1)
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
  })
})

test('help names every command and every engine flag', async () => {
  const { out } = await start(['--help']).ended
  for (const name of ['serve', 'generate', 'chat', 'complete', 'bench', 'doctor']) expect(out).toContain(name)
  const serve = (await start(['serve', '--help']).ended).out
  for (const flag of [
    '--dtype',
    '--max-model-len',
    '--max-num-seqs',
    '--max-num-batched-tokens',
    '--block-size',
    '--served-model-name',
    '--host',
    '--port',
    '--kv-cache-memory',
    '--pin-threads',
    '--no-packed-cache',
    '--packed-cache-limit',
    '--no-prefix-caching',
    '--step-budget-ms',
  ])
    expect(serve).toContain(flag)
})
