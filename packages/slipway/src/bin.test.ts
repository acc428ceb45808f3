import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const bin = fileURLToPath(new URL('../bin.mjs', import.meta.url))

let folder = ''
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'slipway-bin-'))))
afterAll(() => rm(folder, { recursive: true }))

test.each(['18.20.8', '20.18.3'])('Node %s is told to be too old, before anything is loaded', async (node) => {
  const preload = join(folder, `${node}.cjs`)
  await writeFile(
    preload,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}' } })`,
  )
  await expect(run(process.execPath, ['--require', preload, bin, '--version'])).rejects.toMatchObject({
    code: 1,
    stdout: '',
    stderr: `slipway: Node ${node} is too old; take 20.19 or newer\n`,
  })
})

test('a folder that is not built says how to mend that', async () => {
  const copy = join(folder, 'bin.mjs')
  await copyFile(bin, copy)
  await expect(run(process.execPath, [copy, 'serve'])).rejects.toMatchObject({
    code: 1,
    stderr: 'slipway: it is not built yet: run npm run build\n',
  })
})

test('else it runs', async () => {
  const { stdout, stderr } = await run(process.execPath, [bin, '--version'])
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(stderr).toBe('')
})
