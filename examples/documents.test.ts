import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LLM, miniModelDirectory, serve } from 'slipway'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeAdapter } from './documents/adapter.ts'
import { checkConfigFile } from './documents/cli.ts'
import { blocks, root, type Block } from './documents/pages.ts'
import { plan } from './documents/plan.ts'

// Every block of the documents is what it says: programs run, commands are answered, what they print is what is shown.
// A text behind a block is what it has to print, line by line; … stands for anything.

const run = promisify(execFile)
const bin = `"${process.execPath}" "${root}packages/slipway/bin.mjs"`
const adminKey = 'a-long-admin-key'

let folder = ''
let url = ''
let close: () => Promise<void>
beforeAll(async () => {
  folder = await mkdtemp(fileURLToPath(new URL('blocks-', import.meta.url)))
  await symlink(miniModelDirectory, join(folder, 'my-model'))
  for (const [i, name] of ['poet-lora', 'lawyer-lora'].entries())
    await writeAdapter(join(folder, name), miniModelDirectory, 0.05 * (i + 1))
  await writeFile(join(folder, 'keys.txt'), 'a-long-secret\n')
  const certificate = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost']
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]
  await run('openssl', ['req', '-x509', ...certificate, ...files])
  const llm = await LLM.load(miniModelDirectory, { enableLora: true })
  const batchDirectory = join(folder, 'batches')
  const settings = { port: 0, servedModelNames: ['slipway-mini'], adminKey, runtimeLora: true, batchDirectory }
  const server = await serve(llm, settings)
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

/** A block as it can be run here: against our server, in our folder. */
function here(code: string): string {
  return code
    .replaceAll('http://127.0.0.1:8000', url)
    .replaceAll(/(?<!["\w])--port 8000\b/g, `--port ${new URL(url).port}`)
    .replaceAll('npx slipway', bin)
    .replaceAll(/\.\/((?:my-model|poet-lora|lawyer-lora)\b)/g, `${folder}/$1`)
}

function expectShown(printed: string, { next }: Block): void {
  if (next?.language !== 'text') return
  const escape = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  for (const line of next.code.split('\n').filter((one) => one.trim() !== ''))
    expect(printed).toMatch(new RegExp(line.trim().split('…').map(escape).join('.*')))
}

interface Program {
  readonly name: string
  readonly parts: readonly Block[]
}

/** A block that imports begins a program; those behind it on the page go on with it. */
const programs = blocks
  .filter(({ language }) => language === 'ts')
  .reduce<Program[]>((all, block) => {
    const last = all.at(-1)
    const goesOn = !/^import /m.test(block.code) && last?.parts[0]?.file === block.file
    if (!goesOn) return [...all, { name: block.name, parts: [block] }]
    return [...all.slice(0, -1), { ...last, parts: [...last.parts, block] }]
  }, [])

describe('TypeScript blocks run', () => {
  test.each(programs)('$name', async ({ name, parts }) => {
    const file = join(folder, `${name.replace(/\W/g, '-')}.mjs`)
    await writeFile(file, here(parts.map(({ code }) => code).join('\n')))
    const { stdout, stderr } = await run(process.execPath, [file], { cwd: folder })
    expect(stderr).toBe('')
    for (const part of parts) expectShown(stdout, part)
  })
})

describe('modules that change logits work', () => {
  const modules = blocks.filter(({ language }) => language === 'js')
  test.each(modules)('$name', async ({ code }) => {
    const file = join(folder, 'ban.mjs')
    await writeFile(file, code)
    const llm = await LLM.load(miniModelDirectory, { logitsProcessors: [file] })
    const free = await llm.generate('one two', { temperature: 0, maxTokens: 1 })
    const ids = free.outputs[0]!.tokenIds
    const logitsProcessorsArgs = { ban: { ids } }
    const banned = await llm.generate('one two', { temperature: 0, maxTokens: 1, logitsProcessorsArgs })
    await llm.close()
    expect(banned.outputs[0]!.tokenIds).not.toEqual(ids)
  })
})

const shell = blocks.filter(({ language }) => language === 'sh').map((block) => ({ ...block, ...plan(block) }))

describe('blocks of commands run', () => {
  const running = shell.filter(({ runs }) => runs)
  test.each(running)('$name', async (block) => {
    const isAwaited = block.next?.language === 'text'
    const script = isAwaited ? `exec 2>&1\n${here(block.code)}true` : here(block.code)
    const env = { ...process.env, ADMIN_KEY: adminKey, API_KEY: 'a-long-secret' }
    const { stdout, stderr } = await run('sh', [isAwaited ? '-c' : '-ec', script], { cwd: folder, env })
    expect(stdout.length).toBeGreaterThan(0)
    expectShown(stdout, block)
    if (isAwaited) return
    expect(stdout).not.toMatch(/"error":\{"(message|type":"\w+_error)/)
    if (!block.code.includes('npx slipway bench')) return
    expect(stderr).toBe('')
    expect(stdout).toMatch(/tok\/s|GFLOP\/s/)
    const json = /--json (\S+)/.exec(block.code)?.[1]
    if (json) expect(JSON.parse(await readFile(join(folder, json), 'utf8'))).toHaveProperty('machine')
  })
})

describe('every server starts, and ends in order', () => {
  const served = shell.flatMap(({ serves }) => serves).filter((args) => !args.includes('--help'))
  const lines = new Set(served.map((args) => JSON.stringify(args)))
  const commands = [...lines].map((text) => {
    const args = JSON.parse(text) as string[]
    return { text: args.join(' '), args }
  })
  test.concurrent.each(commands)('slipway $text', async ({ args }) => {
    const local = args.map((arg, i) => {
      if (/^--(?:grpc-)?port$/.test(args[i - 1] ?? '')) return '0'
      // the hub is out of reach
      return arg.startsWith('Qwen/') ? miniModelDirectory : here(arg)
    })
    if (!args.includes('--port')) local.push('--port', '0')
    const child = spawn(process.execPath, [`${root}packages/slipway/bin.mjs`, ...local], { cwd: folder })
    let printed = ''
    const note = (data: Buffer): void => {
      printed += data.toString()
      // a second signal would end it at once
      if (/serving on http/.test(printed) && !child.killed) child.kill('SIGTERM')
    }
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect({ code, printed }).toEqual({ code: 0, printed: expect.stringContaining('serving on http') as string })
  })
})

describe('data is well-formed', () => {
  test.each(blocks.filter(({ language }) => language === 'json'))('$name', ({ code }) => {
    expect(JSON.parse(code)).toBeTypeOf('object')
  })
  test.each(blocks.filter(({ language }) => language === 'yaml'))('$name', async ({ code, name }) => {
    const routes = Array.from(code.matchAll(/\bpath: (\/\w*)/g), ([, path]) => path!)
    // probes of a cluster
    for (const path of routes) expect((await fetch(url + path)).status).toBe(200)
    if (routes.length > 0) return
    const file = join(folder, `${name.replace(/\W/g, '-')}.yaml`)
    await writeFile(file, code)
    expect(() => checkConfigFile(file)).not.toThrow()
  })
})
