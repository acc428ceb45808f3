import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { chatSchema } from './chat-schema.ts'
import { completionSchema } from './completion-schema.ts'

test('the README names every parameter', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const shapes = [chatSchema.shape, completionSchema.shape]
  const missing = shapes.flatMap((shape) => Object.keys(shape)).filter((name) => !readme.includes(`\`${name}\``))
  expect(missing).toEqual([])
})
