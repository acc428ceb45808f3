import type { LLM } from '@slipway/engine'
import { contentSecurityPolicy } from '@slipway/playground'
import { describe, expect, test } from 'vitest'
import { createApp } from './app.ts'
import { createContext } from './context.ts'
import { serve } from './serve.ts'
import { eventsOf, startModel, useModel } from './testing/harness.ts'

const html = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }

const llm = useModel()

describe('the page', () => {
  test('comes to browsers, with a policy that shuts everything else out', async () => {
    const app = createApp(llm)
    const response = await app.request('/', html)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('content-security-policy')).toBe(contentSecurityPolicy)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('vary')).toBe('accept')
    expect(response.headers.get('x-request-id')).not.toBeNull()
    const text = await response.text()
    const addresses = [...text.matchAll(/(?:src|href)="([^#"][^"]*)"/g)].map(([, address]) => address!)
    expect(addresses.length).toBeGreaterThanOrEqual(3)
    for (const address of addresses) {
      expect(address).toMatch(/^\/playground\//)
      const file = await app.request(address)
      expect(file.status).toBe(200)
      expect(file.headers.get('content-type')).toMatch(/javascript|css|svg/)
      expect(file.headers.get('cache-control')).toContain('immutable')
    }
    // nothing in it that the policy would have to allow
    expect(text).not.toMatch(/<script>|<style|style="|onclick=/)
  })

  test('everybody else gets JSON', async () => {
    const app = createApp(llm)
    for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }]) {
      const response = await app.request('/', { headers })
      expect(await response.json()).toMatchObject({ name: 'slipway', status: 'ready' })
      expect(response.headers.get('vary')).toBe('accept')
    }
  })

  test('has no other files', async () => {
    const app = createApp(llm)
    for (const name of ['index.ts', '..%2findex.js', '%2e%2e%2findex.js', 'constructor', 'a/b'])
      expect((await app.request(`/playground/${name}`)).status).toBe(404)
    expect((await app.request('/playground/index.html', { method: 'POST' })).status).toBe(405)
  })

  test('can be switched off', async () => {
    const app = createApp(llm, { playground: false })
    expect(await (await app.request('/', html)).json()).toMatchObject({ name: 'slipway' })
    expect((await app.request('/playground/index.html')).status).toBe(404)
  })
})

interface Event {
  readonly time: number
  readonly stats: { readonly running: number; readonly numSteps: number }
  readonly sequences: readonly { readonly requestId: string; readonly state: string }[]
}

describe('the live view', () => {
  test('tells every half second what the engine does', async () => {
    const server = await serve(llm, { port: 0 })
    const request = llm.submit('One two three', { maxTokens: 400, ignoreEos: true })
    const response = await fetch(`${server.url}/v1/engine/events`)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const reader = response.body!.getReader()
    const next = async (): Promise<Event> => eventsOf(new TextDecoder().decode((await reader.read()).value))[0] as Event
    const first = await next()
    expect(first).toMatchObject({
      stats: { running: 1 },
      sequences: [{ requestId: request.requestId, state: 'running' }],
    })
    const second = await next()
    expect(second.time - first.time).toBeGreaterThan(490)
    expect(second.stats.numSteps).toBeGreaterThan(first.stats.numSteps)
    request.abort()
    // somebody who looks on does not hold up the end
    const started = performance.now()
    await server.close()
    expect(performance.now() - started).toBeLessThan(1500)
    await reader.cancel().catch(() => {})
  })

  test('takes one snapshot for all who look on, and none for nobody', async () => {
    let numSnapshots = 0
    const counting = Object.create(llm, {
      snapshot: { value: () => (numSnapshots++, llm.snapshot()) },
    }) as LLM
    const { live } = createContext(counting, {})
    const feeds = [live.snapshots(), live.snapshots(), live.snapshots()]
    const times = await Promise.all(feeds.map(async (feed) => (await feed.next()).value!.time))
    expect(new Set(times).size).toBe(1)
    expect(numSnapshots).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(numSnapshots).toBe(1)
    const waiting = Promise.all(feeds.map((feed) => feed.next()))
    live.close()
    await waiting
    expect((await feeds[0]!.next()).done).toBe(true)
  })

  test('is refused while there is no model, and ends with one', async () => {
    const own = startModel()
    const app = createApp(own)
    expect((await app.request('/v1/engine/events')).status).toBe(503)
    await own.ready
    const response = await app.request('/v1/engine/events')
    const reader = response.body!.getReader()
    await reader.read()
    await own.close()
    const rest = new TextDecoder().decode((await reader.read()).value)
    expect(eventsOf(rest)).toEqual(['[DONE]'])
    expect((await app.request('/v1/engine/events')).status).toBe(503)
  })
})
