import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { onAbort } from './on-abort.ts'

test('one signal stands for any number of requests without a warning, and for none that took it back', async () => {
  const warnings: unknown[] = []
  const warn = (warning: unknown): void => void warnings.push(warning)
  process.on('warning', warn)
  const controller = new AbortController()
  const called: number[] = []
  const takeBack = Array.from({ length: 40 }, (_, i) => onAbort(controller.signal, () => void called.push(i)))
  takeBack[7]!()
  const aborted = once(controller.signal, 'abort')
  controller.abort()
  await aborted
  await turn()
  process.off('warning', warn)
  expect(called).toEqual(Array.from({ length: 40 }, (_, i) => i).filter((i) => i !== 7))
  expect(warnings).toEqual([])
  expect(() => onAbort(undefined, () => {})()).not.toThrow()
})
