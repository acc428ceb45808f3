import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LLM, miniModelDirectory, serve } from 'slipway'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// Every TypeScript block of the documents is a program, and runs. Shell lines that call the server or measure run too.

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const documents = [
  'README.md',
  ...(await readdir(`${root}docs`)).filter((f) => f.endsWith('.md')).map((f) => `docs/${f}`),
]

const blocks = (
  await Promise.all(
    documents.map(async (file) => {
      const text = await readFile(root + file, 'utf8')
      return Array.from(text.matchAll(/```(ts|sh)\n([^]*?)```/g), ([, language, code], i) => ({
        name: `${file} block ${i + 1}`,
        language: language!,
        code: code!,
      }))
    }),
  )
).flat()

let folder = ''
let url = ''
let close: () => Promise<void>
beforeAll(async () => {
  folder = await mkdtemp(fileURLToPath(new URL('blocks-', import.meta.url)))
  const llm = await LLM.load(miniModelDirectory)
  const server = await serve(llm, {
    host: '127.0.0.1',
    port: 0,
    servedModelNames: ['slipway-mini'],
    batchDirectory: join(folder, 'batches'),
  })
  url = server.url
  close = async () => {
    await server.close()
    await llm.close()
  }
})
afterAll(async () => {
  await close()
  await rm(folder, { recursive: true })
})

describe('TypeScript blocks run', () => {
  test.each(blocks.filter(({ language }) => language === 'ts'))('$name', async ({ name, code }) => {
    const file = join(folder, `${name.replace(/\W/g, '-')}.mjs`)
    await writeFile(file, code.replaceAll('http://127.0.0.1:8000', url))
    const { stderr } = await run(process.execPath, [file])
    expect(stderr).toBe('')
  })
})

describe('curl lines are answered', () => {
  const commands = blocks
    .filter(({ language, code }) => language === 'sh' && code.includes('curl '))
    .map(({ name, code }) => ({ name, code }))
  test.skipIf(commands.length === 0).each(commands)('$name', async ({ code }) => {
    const { stdout } = await run('sh', ['-ec', code.replaceAll('http://127.0.0.1:8000', url)])
    expect(stdout).not.toContain('"error":{')
    expect(stdout.length).toBeGreaterThan(0)
  })
})

describe('slipway bench lines measure', () => {
  const bin = `"${process.execPath}" "${root}packages/slipway/bin.mjs"`
  const lines = blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => code.split('\n').filter((line) => line.startsWith('npx slipway bench')))
  test.each(lines)('%s', async (line) => {
    const { stdout, stderr } = await run(
      'sh',
      ['-ec', line.replace('npx slipway', bin).replaceAll('http://127.0.0.1:8000', url)],
      { cwd: folder },
    )
    expect(stderr).toBe('')
    expect(stdout).toMatch(/tok\/s|GFLOP\/s/)
    const json = /--json (\S+)/.exec(line)?.[1]
    if (json) expect(JSON.parse(await readFile(join(folder, json), 'utf8'))).toHaveProperty('machine')
  })
})

describe('blocks of other commands run, one after the other', () => {
  const bin = `"${process.execPath}" "${root}packages/slipway/bin.mjs"`
  const own = blocks.filter(
    ({ language, code }) => language === 'sh' && /^npx slipway (run-batch|tokenizer|collect-env)/m.test(code),
  )
  test.each(own)('$name', async ({ code }) => {
    const { stdout } = await run('sh', ['-ec', code.replaceAll('npx slipway', bin)], { cwd: folder })
    expect(stdout.length).toBeGreaterThan(0)
  })
})
