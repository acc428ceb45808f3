import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

async function example(name: string): Promise<string> {
  const { stdout } = await run(process.execPath, [fileURLToPath(new URL(`${name}.js`, import.meta.url))])
  return stdout
}

test('offline batch answers every question in order', async () => {
  const lines = (await example('offline-batch')).trim().split('\n')
  expect(lines.map((line) => line.split(' -> ')[0])).toEqual([
    'What is 3 + 4?',
    'What is 12 + 5?',
    'What is 9 - 6?',
    'Say hello!',
  ])
  expect(lines[0]).toContain('7')
})

test('streaming chat shows an answer and an abort', async () => {
  const text = await example('streaming-chat')
  expect(text).toMatch(/\w+[^]*\[ended: (stop|length)\]/)
  expect(text).toMatch(/\[ended: abort after \d+ pieces\]/)
})

test('the official client gets the same answer whole and streamed', async () => {
  const lines = (await example('openai-client')).trim().split('\n')
  expect(lines[0]).toContain('7')
  expect(lines[0]).toContain(lines.at(-1))
})
