import { describe, expect, test } from 'vitest'
import { chromiumPath, skipReason } from './testing/browser.ts'
import { usePlayground, wait } from './testing/playground.ts'

describe.skipIf(skipReason !== undefined)(`a key in Chromium (${skipReason ?? chromiumPath})`, () => {
  const apiKey = 'a-key-of-the-test'
  const ground = usePlayground({ apiKeys: [apiKey] })
  const state = (kind: string) => ground.page.locator(`#state[data-kind=${kind}]`).waitFor(wait)

  test('says so, takes it, and goes on', async () => {
    const { page } = ground
    expect(await page.locator('#state').innerText()).toBe('needs an API key')
    await ground.send('What is 3 + 4?')
    const error = ground.lastAnswer().locator('.error')
    await error.waitFor(wait)
    expect(await error.innerText()).toContain('Give the key under “API key”.')
    // what was asked stays, to be asked again
    expect(await page.locator('.message.user').innerText()).toContain('What is 3 + 4?')
    await ground.set({ key: 'wrong' })
    await page.locator('#key').blur()
    await state('locked')
    await ground.set({ key: apiKey })
    await page.locator('#key').blur()
    await state('live')
    expect(await page.locator('#model option').allInnerTexts()).toContain('other-name')
    expect(await ground.ask('What is 3 + 4?')).toMatch(/\w/)
    // the tab keeps it; no address and no lasting store has it
    await page.reload()
    await state('live')
    expect(page.url()).not.toContain(apiKey)
    expect(await page.evaluate('JSON.stringify(localStorage) + document.cookie')).not.toContain(apiKey)
    expect(ground.requests.map(({ url }) => url).join()).not.toContain(apiKey)
  })

  test('a key that holds nothing but blanks is none', async () => {
    const { page } = ground
    await ground.set({ key: '   ' })
    await page.locator('#key').blur()
    await state('locked')
    expect(ground.requests.filter(({ headers }) => 'authorization' in headers)).toEqual([])
  })
})
