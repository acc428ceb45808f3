import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LLM } from '@slipway/engine'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { ServerOptions } from '../options.ts'
import { serve, type RunningServer } from '../serve.ts'
import { launchChromium, saveCoverage } from './browser.ts'
import { expectIdle, modelName, startModel } from './harness.ts'

/** For what comes by itself. */
export const wait = { timeout: 20_000 }

export const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } }

/** The page of a real server on the embedded model, opened anew for each test. */
export class Ground {
  llm!: LLM
  server!: RunningServer
  browser!: Browser
  context!: BrowserContext
  page!: Page
  /** For files of the tests. */
  folder = ''
  /** What the browser has asked for since the test began. */
  requests: { readonly url: string; readonly headers: Record<string, string> }[] = []
  /** Where that may lead. */
  origins: string[] = []
  /** Exceptions, dialogs and complaints of the browser, of which there must be none. */
  faults: string[] = []
  readonly #options: ServerOptions

  constructor(options: ServerOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), 'slipway-playground-'))
    this.llm = startModel({ maxModelLen: 2048, kvCacheMemory: 12_000_000 })
    await this.llm.ready
    this.server = await serve(this.llm, { port: 0, servedModelNames: [modelName, 'other-name'], ...this.#options })
    this.browser = await launchChromium()
  }

  async open(): Promise<void> {
    this.requests = []
    this.faults = []
    this.origins = [this.server.url]
    this.context = await this.browser.newContext({
      viewport: sizes.desktop,
      permissions: ['clipboard-read', 'clipboard-write'],
      reducedMotion: 'reduce',
    })
    const page = await this.context.newPage()
    this.page = page
    page.setDefaultTimeout(wait.timeout)
    page.on('request', (request) => this.requests.push({ url: request.url(), headers: request.headers() }))
    page.on('pageerror', (error) => this.faults.push(String(error)))
    page.on('dialog', (dialog) => this.faults.push(`dialog: ${dialog.message()}`))
    page.on('console', (message) => {
      // the browser tells by itself of every answer of 4xx, and of none
      const isStatus = message.text().startsWith('Failed to load resource')
      if (message.type() === 'error' && !isStatus) this.faults.push(message.text())
    })
    await page.coverage.startJSCoverage({ resetOnNavigation: false })
    await page.goto(this.server.url)
    await page.locator(`#state[data-kind=${this.#options.apiKeys ? 'locked' : 'live'}]`).waitFor()
  }

  /** Ends a test: nothing went wrong, and whatever was done, nothing but the server was asked. */
  async check(name: string): Promise<void> {
    await saveCoverage(this.page, name)
    await this.context.close()
    expect(this.faults).toEqual([])
    expect(this.requests.length).toBeGreaterThan(3)
    for (const { url } of this.requests) expect(this.origins).toContain(new URL(url).origin)
    await expectIdle(this.llm)
  }

  async end(): Promise<void> {
    await this.browser.close()
    await this.server.close()
    await this.llm.close()
    await rm(this.folder, { recursive: true })
  }

  lastAnswer(): Locator {
    return this.page.locator('.message.assistant').last()
  }

  /** What the last answer says, its reasoning left out. */
  content(): Locator {
    return this.lastAnswer().locator(':scope > .text')
  }

  async set(fields: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(fields)) await this.page.locator(`#${name}`).fill(value)
  }

  async send(text: string): Promise<void> {
    await this.page.locator('#input').fill(text)
    await this.page.keyboard.press('Enter')
  }

  /** Sends a message and waits for the whole answer. */
  async ask(text: string): Promise<string> {
    await this.send(text)
    await this.page.locator('.message.assistant[aria-busy=false]:last-child .buttons').waitFor()
    return this.content().innerText()
  }
}

/** A playground for the tests of a `describe`. */
export function usePlayground(options: ServerOptions = {}): Ground {
  const ground = new Ground(options)
  beforeAll(() => ground.start())
  beforeEach(() => ground.open())
  afterEach(({ task }) => ground.check(task.id))
  afterAll(() => ground.end())
  return ground
}
