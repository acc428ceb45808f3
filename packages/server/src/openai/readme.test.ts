import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { serverOptionsSchema } from '../options.ts'
import { chatSchema } from './chat-schema.ts'
import { completionSchema } from './completion-schema.ts'

test('the README names every parameter and option', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const shapes = [chatSchema.shape, completionSchema.shape, serverOptionsSchema.shape]
  const missing = shapes.flatMap((shape) => Object.keys(shape)).filter((name) => !readme.includes(`\`${name}\``))
  expect(missing).toEqual([])
})
