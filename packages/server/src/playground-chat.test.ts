import { expect, test, describe } from 'vitest'
import { chromiumPath, screenshot, skipReason } from './testing/browser.ts'
import { expectIdle, modelName } from './testing/harness.ts'
import { usePlayground, wait } from './testing/playground.ts'

/** Does not end before its longest length. */
const endless = { temperature: '1.5', seed: '3', schema: '{"type": "string", "minLength": 6000}' }

describe.skipIf(skipReason !== undefined)(`chat in Chromium (${skipReason ?? chromiumPath})`, () => {
  const ground = usePlayground()

  test('an answer streams, and the engine is seen at work', async () => {
    const { page } = ground
    await ground.set({ ...endless, maxTokens: '1500' })
    await ground.send('Tell me a story.')
    const lengths: number[] = []
    while ((await ground.lastAnswer().getAttribute('aria-busy')) === 'true') {
      lengths.push((await ground.content().textContent())!.length)
      if (lengths.length === 3) {
        await page.locator('#running', { hasText: '1' }).waitFor()
        await page.locator('#sequences tr.is-running').waitFor()
        expect(Number(await page.locator('#owned').innerText())).toBeGreaterThan(0)
        await expect.poll(async () => Number(await page.locator('#rate').innerText()), wait).toBeGreaterThan(1)
        await screenshot(page, 'desktop-light-streaming')
      }
    }
    // it grew on the screen while it was made
    expect(new Set(lengths).size).toBeGreaterThan(3)
    expect(await ground.lastAnswer().locator('.facts').innerText()).toMatch(
      /^(reached the longest length · )?\d+ tokens · prompt \d+.* · first after [\d.]+ m?s · [\d.]+ tokens\/s$/,
    )
    await page.locator('#running', { hasText: '0' }).waitFor()
    await page.locator('#no-sequences').waitFor()
    expect(await page.locator('#owned').innerText()).toBe('0')
    expect(Number(await page.locator('#cached').innerText())).toBeGreaterThan(0)
    expect(await page.locator('#ttft').innerText()).toMatch(/ms|s$/)
    expect(await page.locator('#acceptance-tile').isHidden()).toBe(true)
    expect(await page.locator('#blocks').getAttribute('aria-label')).toMatch(
      /^KV blocks: 0 owned, \d+ cached, \d+ free$/,
    )
    // a screen reader was told all of it, in sentences
    const told = (await page.locator('#announcer p').allInnerTexts()).join(' ')
    const letters = (text: string): string => text.replaceAll(/[^\p{L}\p{N}]/gu, '')
    expect(letters(told).slice(0, 40)).toBe(letters(await ground.content().innerText()).slice(0, 40))
  })

  test('stop ends the request within a moment; retry with the same seed says the same', async () => {
    const { page, llm } = ground
    await ground.set({ ...endless, maxTokens: '1500' })
    await ground.send('Tell me a story.')
    await expect.poll(async () => (await ground.content().textContent())!.length, wait).toBeGreaterThan(60)
    expect((await llm.stats()).running).toBe(1)
    await page.keyboard.press('Escape')
    await expectIdle(llm)
    await ground.lastAnswer().locator('.facts', { hasText: 'stopped' }).waitFor()
    const stopped = await ground.content().innerText()
    await ground.set({ maxTokens: '40' })
    await ground.lastAnswer().locator('.retry').click()
    await ground.lastAnswer().locator('.facts', { hasText: '40 tokens' }).waitFor()
    const first = await ground.content().innerText()
    expect(stopped.startsWith(first.slice(0, 40))).toBe(true)
    await ground.lastAnswer().locator('.retry').click()
    await ground.lastAnswer().locator('.facts', { hasText: '40 tokens' }).waitFor()
    expect(await ground.content().innerText()).toBe(first)
    await ground.set({ seed: '4' })
    await ground.lastAnswer().locator('.retry').click()
    await ground.lastAnswer().locator('.facts', { hasText: '40 tokens' }).waitFor()
    expect(await ground.content().innerText()).not.toBe(first)
    expect(await page.locator('.message').count()).toBe(2)
    // the button does what the key does
    await ground.set({ maxTokens: '1500' })
    await ground.send('Go on.')
    await page.locator('#stop-button').click()
    await ground.lastAnswer().locator('.facts', { hasText: 'stopped' }).waitFor()
  })

  test('hovering a token shows the probabilities that the API tells', async () => {
    const { page, server } = ground
    await ground.set({ seed: '5', temperature: '1' })
    const text = await ground.ask('Hello! Who are you?')
    const tokens = ground.content().locator('.token')
    expect((await tokens.allInnerTexts()).join('').replaceAll(/\s/g, '')).toBe(text.replaceAll(/\s/g, ''))
    const parameters = { seed: 5, temperature: 1, logprobs: true, top_logprobs: 5 }
    const messages = [{ role: 'user', content: 'Hello! Who are you?' }]
    const body = { model: modelName, messages, ...parameters }
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const { choices } = (await response.json()) as {
      choices: { logprobs: { content: { top_logprobs: { token: string; logprob: number }[] }[] } }[]
    }
    for (const place of [0, 3]) {
      await tokens.nth(place).hover()
      const rows = await page.locator('#token tr').evaluateAll((all) => all.map((row) => row.textContent))
      const wanted = choices[0]!.logprobs.content[place]!.top_logprobs.map(({ token, logprob }) => {
        const percent = 100 * Math.exp(logprob)
        const shown = percent < 0.05 ? '< 0.1' : percent.toFixed(percent < 10 ? 1 : 0)
        return `${token.replaceAll(' ', '␣')}${shown} %`
      })
      expect(rows).toEqual(wanted)
    }
    await screenshot(page, 'desktop-light')
    await page.locator('h1').hover()
    expect(await page.locator('#token').isHidden()).toBe(true)
    // and the keyboard does as well
    await ground.content().focus()
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    expect(await page.locator('.token.chosen').innerText()).toBe(await tokens.nth(1).innerText())
    await page.keyboard.press('ArrowLeft')
    expect(await page.locator('.token.chosen').innerText()).toBe(await tokens.nth(0).innerText())
    await page.keyboard.press('Tab')
    expect(await page.locator('#token').isHidden()).toBe(true)
    await page.locator('[name=probabilities]').uncheck()
    await ground.lastAnswer().locator('.retry').click()
    await page.locator('.message.assistant[aria-busy=false] .buttons').waitFor()
    expect(await ground.content().innerText()).toBe(text)
    expect(await tokens.count()).toBe(0)
  })

  test('thinking is folded; tools are called, answered and shown', async () => {
    const { page } = ground
    await ground.set({ temperature: '0' })
    expect(await ground.ask('What is 47 + 85?')).toBe('47 + 85 = 132.')
    const fold = ground.lastAnswer().locator('details.thinking')
    expect(await fold.getAttribute('open')).toBeNull()
    await fold.locator('summary').click()
    expect(await fold.innerText()).toContain('7+5=12')
    await page.locator('#thinking').selectOption('off')
    await ground.lastAnswer().locator('.retry').click()
    await page.locator('.message.assistant[aria-busy=false] .buttons').waitFor()
    expect(await ground.content().innerText()).toBe('47 + 85 = 132.')
    expect(await fold.isHidden()).toBe(true)

    await page.getByRole('button', { name: 'example of tools' }).click()
    await ground.send('What is 12 * 34?')
    const call = ground.lastAnswer().locator('.call')
    await call.locator('textarea').fill('408')
    expect(await call.locator('.call-head').innerText()).toContain('calculator')
    expect(JSON.parse((await call.locator('pre').textContent())!)).toEqual({ expression: '12 * 34' })
    await screenshot(page, 'desktop-light-tools')
    await call.getByRole('button', { name: 'Send result' }).click()
    await expect.poll(() => page.locator('.message.assistant[aria-busy=false]').count(), wait).toBe(3)
    expect(await ground.content().innerText()).toContain('408')
    expect(await page.locator('.message.tool').innerText()).toContain('408')
    expect(await page.locator('.call form').count()).toBe(0)
  })

  test('an answer fits the schema', async () => {
    const { page } = ground
    await page.getByRole('button', { name: 'example of a schema' }).click()
    await ground.set({ seed: '1' })
    const value = JSON.parse(await ground.ask('Give me the object.')) as object
    expect(Object.keys(value)).toEqual(['name', 'colour', 'count'])
  })

  test('faults are shown where they are: in the form, or as the server tells them', async () => {
    const { page } = ground
    await ground.set({ tools: '[{"type": "function"}]', topK: 'many' })
    expect(await page.locator('#tools-fault').innerText()).toContain('needs a "name"')
    await ground.send('Hello!')
    expect(await page.locator('#faults').innerText()).toContain('topK, tools')
    expect(await page.locator('.message').count()).toBe(0)
    expect(await page.locator('#input').inputValue()).toBe('Hello!')
    await ground.set({ tools: '', topK: '', temperature: '9' })
    expect(await page.locator('#faults').isHidden()).toBe(true)
    await ground.send('Hello!')
    await ground.lastAnswer().locator('.error', { hasText: 'temperature' }).waitFor()
    await ground.set({ temperature: '0' })
    await ground.lastAnswer().locator('.retry').click()
    await ground.content().locator('p').waitFor()
    expect(await ground.lastAnswer().locator('.error').isHidden()).toBe(true)
  })
})
