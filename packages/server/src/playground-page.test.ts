import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, describe } from 'vitest'
import { serve } from './serve.ts'
import { accessibilityFaults, chromiumPath, screenshot, skipReason } from './testing/browser.ts'
import { modelName } from './testing/harness.ts'
import { sizes, usePlayground, wait } from './testing/playground.ts'

describe.skipIf(skipReason !== undefined)(`the page in Chromium (${skipReason ?? chromiumPath})`, () => {
  const ground = usePlayground()

  test('what a model writes stays text', async () => {
    const { page, folder } = ground
    const hostile = [
      '<img src=x onerror="alert(1)"><script>alert(2)</script>',
      '[a](javascript:alert(3)) [b](https://example.org/) <a href="javascript:alert(4)">c</a>',
      '```html\n<iframe src="https://example.org"></iframe>\n```',
      '| <b>d</b> | `</td><svg onload=alert(5)>` |\n|-|-|\n| e | f |',
      '![g](https://example.org/h.png)',
    ].join('\n\n')
    const file = join(folder, 'hostile.json')
    await writeFile(
      file,
      JSON.stringify({
        messages: [
          { role: 'user', content: hostile },
          { role: 'assistant', content: hostile },
        ],
      }),
    )
    await page.locator('#file').setInputFiles(file)
    await ground.content().locator('table').waitFor()
    expect(await page.locator('.message :is(img, script, iframe, svg, b)').count()).toBe(0)
    expect(
      await ground
        .content()
        .locator('a')
        .evaluateAll((all) => all.map((link) => link.getAttribute('href'))),
    ).toEqual(['https://example.org/', 'https://example.org/h.png'])
    expect(await ground.content().innerText()).toContain('<script>alert(2)</script>')
    expect(await page.locator('.message.user').innerText()).toContain('<img src=x onerror="alert(1)">')
    // even if something got in, the policy would not run it
    const ran = await page.evaluate(`new Promise((resolve) => {
      const script = document.createElement('script')
      document.addEventListener('securitypolicyviolation', (event) => resolve(event.violatedDirective), { once: true })
      script.textContent = 'document.title = "broken"'
      document.body.append(script)
    })`)
    expect(ran).toBe('script-src-elem')
    expect(await page.title()).toBe('Slipway playground')
    ground.faults.length = 0
  })

  test('a conversation goes out and comes back, and as a command', async () => {
    const { page, folder } = ground
    await ground.set({ temperature: '0', system: "You're brief." })
    const text = await ground.ask('Hello! Who are you?')
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#export').click()])
    const file = join(folder, 'conversation.json')
    await download.saveAs(file)
    const saved = JSON.parse(await readFile(file, 'utf8')) as { settings: object; messages: { content: string }[] }
    expect(saved.settings).toMatchObject({ temperature: '0', system: "You're brief." })
    expect(saved.messages.map((message) => message.content)).toEqual(['Hello! Who are you?', text])
    await page.locator('#new').click()
    expect(await page.locator('.message').count()).toBe(0)
    await page.locator('#empty').waitFor()
    await ground.set({ temperature: '1' })
    await page.locator('#file').setInputFiles(file)
    await ground.content().locator('p').waitFor()
    expect(await ground.content().innerText()).toBe(text)
    expect(await page.locator('#temperature').inputValue()).toBe('0')
    await page.locator('#input').fill('And then?')
    await page.locator('#curl').click()
    const command = String(await page.evaluate('navigator.clipboard.readText()'))
    const { stdout } = spawnSync('sh', [
      '-c',
      `curl() { for word; do body=$word; done; printf %s "$body"; }; ${command}`,
    ])
    expect(JSON.parse(stdout.toString())).toMatchObject({
      model: modelName,
      temperature: 0,
      messages: [
        { role: 'system', content: "You're brief." },
        { role: 'user', content: 'Hello! Who are you?' },
        { role: 'assistant', content: text },
        { role: 'user', content: 'And then?' },
      ],
    })
    const broken = join(folder, 'broken.json')
    await writeFile(broken, '{"messages": [{"role": "cat"}]}')
    await page.locator('#file').setInputFiles(broken)
    await page.locator('#file-fault', { hasText: 'messages[0].role' }).waitFor()
    expect(await ground.content().innerText()).toBe(text)
  })

  test('the key is sent, and forgotten with the tab; settings stay', async () => {
    const { page, server, context } = ground
    await ground.set({ key: 'secret-1', maxTokens: '3' })
    await page.locator('#key').blur()
    await page.locator('#model').selectOption('other-name')
    await ground.ask('Hello!')
    const chat = ground.requests.find(({ url }) => url.endsWith('/v1/chat/completions'))
    expect(chat?.headers['authorization']).toBe('Bearer secret-1')
    await page.reload()
    expect(await page.locator('#key').inputValue()).toBe('secret-1')
    expect(await page.locator('#maxTokens').inputValue()).toBe('3')
    expect(await page.evaluate(`JSON.stringify(localStorage)`)).not.toContain('secret-1')
    const other = await context.newPage()
    await other.goto(server.url)
    expect(await other.locator('#key').inputValue()).toBe('')
  })

  test('all of it works by keys', async () => {
    const { page } = ground
    await page.keyboard.press('Control+/')
    await page.locator('#help[open]').waitFor()
    expect(await accessibilityFaults(page)).toEqual([])
    await page.keyboard.press('Escape')
    expect(await page.locator('#help[open]').count()).toBe(0)
    await page.keyboard.press('Control+,')
    await page.keyboard.press('Control+.')
    expect(await page.locator('.panel:visible').count()).toBe(0)
    await page.keyboard.press('Control+.')
    await page.locator('#input').focus()
    await page.keyboard.type('one')
    await page.keyboard.press('Shift+Enter')
    await page.keyboard.type('two')
    expect(await page.locator('#input').inputValue()).toBe('one\ntwo')
    await page.locator('#input').fill('')
    await page.keyboard.press('Enter')
    expect(await page.locator('.message').count()).toBe(0)
    // from the top: the link over the bar, then each button, every one with a ring
    await page.locator('.skip').focus()
    const ids: unknown[] = []
    for (let i = 0; i < 5; i++) {
      await page.keyboard.press('Tab')
      ids.push(await page.evaluate(`document.activeElement.id`))
      expect(await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle`)).toBe('solid')
    }
    expect(ids).toEqual(['new', 'settings-button', 'engine-button', 'theme', 'help-button'])
  })

  test('light and dark, wide and narrow, for everybody', async () => {
    const { page } = ground
    await page.locator('#tint').check()
    await ground.set({ temperature: '1.2', seed: '2' })
    await ground.ask('Hello! Who are you?')
    await ground.ask('List three animals.')
    await page
      .locator('details.thinking summary')
      .last()
      .click({ timeout: 500 })
      .catch(() => {})
    await ground.ask('What is 47 + 85?')
    const background = (): Promise<unknown> =>
      page.evaluate(`getComputedStyle(document.documentElement).backgroundColor`)
    const seen = new Set<unknown>()
    for (const [name, viewport] of Object.entries(sizes)) {
      await page.setViewportSize(viewport)
      for (const theme of ['light', 'dark']) {
        while ((await page.locator('html').getAttribute('data-theme')) !== theme) await page.locator('#theme').click()
        seen.add(await background())
        // the canvas follows
        await page.waitForTimeout(100)
        await screenshot(page, `${name}-${theme}`)
        expect(await accessibilityFaults(page), `${name}, ${theme}`).toEqual([])
      }
      const overflow = 'document.documentElement.scrollWidth > document.documentElement.clientWidth'
      expect(await page.evaluate(overflow), name).toBe(false)
    }
    expect(seen.size).toBe(2)
    for (const panel of ['engine', 'settings']) {
      await page.locator(`#${panel}-button`).click()
      expect(await page.locator('.panel:visible').count()).toBe(1)
      const box = (await page.locator(`#${panel}`).boundingBox())!
      expect(box.width).toBe(sizes.phone.width)
      await screenshot(page, `phone-dark-${panel}`)
      expect(await accessibilityFaults(page), panel).toEqual([])
    }
    await page.keyboard.press('Escape')
    expect(await page.locator('.panel:visible').count()).toBe(0)
    expect(await ground.ask('Hello!')).not.toBe('')
  })

  test('nobody looks on from a hidden page', async () => {
    const { page, server } = ground
    const failed: string[] = []
    page.on('requestfailed', (request) => failed.push(request.url()))
    const hide = (hidden: boolean): Promise<unknown> =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await hide(true)
    await expect.poll(() => failed, wait).toEqual([`${server.url}/v1/engine/events`])
    const count = ground.requests.length
    await hide(false)
    await expect.poll(() => ground.requests.length, wait).toBeGreaterThan(count)
  })

  test('a server that goes is told, and found again', async () => {
    const { page, llm } = ground
    const own = await serve(llm, { port: 0 })
    ground.origins.push(own.url)
    await page.goto(own.url)
    await page.locator('#model-name', { hasText: /^model$/ }).waitFor()
    await own.close()
    await page.locator('#state[data-kind=offline]').waitFor()
    await ground.send('Hello!')
    await ground.lastAnswer().locator('.error', { hasText: 'does not answer' }).waitFor()
    const again = await serve(llm, { port: own.port })
    await page.locator('#state[data-kind=live]').waitFor()
    await ground.lastAnswer().locator('.retry').click()
    await ground.content().locator('p').waitFor()
    await again.close()
  })
})
