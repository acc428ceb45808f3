import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { usableCores } from './usable-cores.ts'

const v2 = (text: string) => (path: string) => (path === '/sys/fs/cgroup/cpu.max' ? text : undefined)
const v1 = (quota: string) => (path: string) =>
  path.endsWith('cpu.cfs_quota_us') ? quota : path.endsWith('cpu.cfs_period_us') ? '100000\n' : undefined

test.each([
  ['no group', () => undefined, 8],
  ['no limit', v2('max 100000\n'), 8],
  ['two cores', v2('200000 100000\n'), 2],
  ['one and a half: a second thread would be stopped half of the time', v2('150000 100000\n'), 1],
  ['less than one', v2('50000 100000\n'), 1],
  ['more than there are', v2('6400000 100000\n'), 8],
  ['the old form without a limit', v1('-1\n'), 8],
  ['the old form', v1('300000\n'), 3],
  ['nothing that makes sense', v2('\n'), 8],
])('%s', (_, read, expected) => {
  expect(usableCores(read, 8)).toBe(expected)
})

test('this machine has some', () => {
  expect(usableCores()).toBeGreaterThan(0)
  expect(usableCores()).toBeLessThanOrEqual(availableParallelism())
})
