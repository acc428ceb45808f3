import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { BatchProgress } from './progress.ts'

function streamOf(isTTY: boolean): PassThrough & { readonly isTTY: boolean } {
  return Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY })
}

test('a pipe gets a line now and then', () => {
  const stream = streamOf(false)
  const progress = new BatchProgress(1, 8, stream, 0)
  progress.update(3, 1, 41.7)
  progress.stop()
  expect(stream.read()).toBe('3/8 answered, 1 failed, 42 tokens/s\n')
  const quiet = new BatchProgress(1, 8, stream)
  quiet.update(3, 1, 41.7)
  expect(stream.read()).toBeNull()
})

test('a terminal gets a bar', () => {
  const stream = streamOf(true)
  const progress = new BatchProgress(1, 8, stream)
  progress.update(8, 2, 10)
  progress.stop()
  expect(stream.read()).toMatch(/answering .*8\/8, 2 failed, 10 tokens\/s/)
})
