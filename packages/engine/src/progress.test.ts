import { afterEach, expect, test, vi } from 'vitest'
import { showProgress } from './progress.ts'

afterEach(() => vi.restoreAllMocks())

test('a bar counts prompts and tokens per second on standard error', async () => {
  let shown = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    shown += String(text)
    return true
  })
  const bar = (await showProgress(2, true))!
  bar.advance({ promptTokens: 3, completionTokens: 50, cachedTokens: 0 })
  bar.advance({ promptTokens: 3, completionTokens: 50, cachedTokens: 0 })
  bar.stop()
  expect(shown).toMatch(/2\/2 prompts \| \d+\.\d tokens\/s/)
})

test('none for short lists, outside a terminal, or when told so', async () => {
  expect(await showProgress(3, undefined)).toBeUndefined()
  expect(await showProgress(100, false)).toBeUndefined()
})
