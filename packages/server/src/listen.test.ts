import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get as getHttps } from 'node:https'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuAvailable } from '@slipway/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serve } from './index.ts'
import type { ServerOptions } from './options.ts'
import { expectIdle, modelName, untilBusy, useModel } from './testing/harness.ts'

const chat = { model: modelName, messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 }
const options: ServerOptions = { port: 0, servedModelNames: [modelName] }

const llm = useModel()

function ask(url: string, body: object = chat): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** All that the server says until it hangs up. */
async function answerOf(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (data: Buffer) => (text += data.toString()))
  socket.on('error', () => {})
  await once(socket, 'close')
  return text
}

describe('HTTPS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-tls-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  beforeAll(() => {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    execFileSync('openssl', ['req', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' })
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('serves with a certificate that the client checks', async () => {
    const server = await serve(llm, { ...options, sslKeyfile: key, sslCertfile: cert })
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    const request = getHttps(`${server.url}/v1/models`, { ca: readFileSync(cert) })
    const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer> & { statusCode: number }]
    expect(response.statusCode).toBe(200)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk)
    expect(JSON.parse(Buffer.concat(chunks).toString())).toMatchObject({ data: [{ id: modelName }] })
    await server.close()
  })

  test('what makes no certificate is refused by name', async () => {
    const rubbish = join(folder, 'rubbish.pem')
    writeFileSync(rubbish, 'no key')
    for (const [wrong, message] of [
      [{ sslKeyfile: key }, 'option sslKeyfile: HTTPS needs sslCertfile as well'],
      [{ sslCertfile: cert }, 'option sslCertfile: HTTPS needs sslKeyfile as well'],
      [{ sslKeyfile: join(folder, 'none'), sslCertfile: cert }, 'option sslKeyfile: ENOENT'],
      [{ sslKeyfile: rubbish, sslCertfile: cert }, 'make no pair'],
    ] as const)
      await expect(serve(llm, { ...options, ...wrong })).rejects.toThrow(message)
  })
})

describe('clients that misbehave cost nobody else anything', () => {
  test('a head that is too long is 431', async () => {
    const server = await serve(llm, { ...options, maxHeaderBytes: 2048 })
    const socket = connect(server.port, '127.0.0.1')
    socket.write(`GET /health HTTP/1.1\r\nHost: localhost\r\nx-flood: ${'a'.repeat(4096)}\r\n\r\n`)
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 431 /)
    expect((await ask(server.url)).status).toBe(200)
    await server.close()
  })

  test('a head or a body that comes drop by drop is cut off with 408, while others are served', async () => {
    const server = await serve(llm, { ...options, headerTimeoutSeconds: 0.3, requestTimeoutSeconds: 0.6 })
    const post = 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n'
    const starts = [
      'GET /health HTTP/1.1\r\nHost: loc',
      `${post}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"model": "`,
    ]
    const slow = starts.map((start) => {
      const socket = connect(server.port, '127.0.0.1')
      socket.write(start)
      const drops = setInterval(() => socket.write('a'), 50)
      socket.on('close', () => clearInterval(drops))
      return answerOf(socket)
    })
    const others = await Promise.all([1, 2, 3, 4].map(() => ask(server.url)))
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    const answers = await Promise.all(slow)
    expect(answers[0]).toMatch(/^HTTP\/1\.1 408 /)
    // the handler was at the body already: it tells that this ended too early, or the socket just closes
    expect(answers[1]).toMatch(/^(HTTP\/1\.1 40[08] |$)/)
    await expectIdle(llm)
    await server.close()
  })

  // without kernels the buffers take too long to fill
  test.skipIf(!cpuAvailable().available)(
    'a reader that takes nothing is dropped, and its request ends',
    async () => {
      const server = await serve(llm, { ...options, slowReaderSeconds: 0.5, heartbeatSeconds: 0.05 })
      const socket = connect(server.port, '127.0.0.1')
      // log-probabilities make an answer that no buffer between the two ends holds
      const body = { ...chat, max_tokens: 400, ignore_eos: true, stream: true, logprobs: true, top_logprobs: 20, n: 16 }
      const text = JSON.stringify(body)
      const head = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json']
      socket.write([...head, `Content-Length: ${text.length}`, '', text].join('\r\n'))
      socket.on('error', () => {})
      await untilBusy(llm)
      const started = performance.now()
      expect((await ask(server.url)).status).toBe(200)
      // never read from: only the server can end it
      await expect
        .poll(async () => ((await (await fetch(`${server.url}/load`)).json()) as { server_load: number }).server_load, {
          timeout: 20_000,
        })
        .toBe(0)
      expect(performance.now() - started).toBeGreaterThan(400)
      socket.destroy()
      await expectIdle(llm)
      await server.close()
    },
    30_000,
  )

  test('an answer that takes long is no slow reader', async () => {
    const server = await serve(llm, { ...options, slowReaderSeconds: 0.05 })
    const answer = await ask(server.url, { ...chat, max_tokens: 300, ignore_eos: true } as typeof chat)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 300 } })
    await server.close()
  })

  test('connections beyond the most are dropped, and taken again when others end', async () => {
    const server = await serve(llm, { ...options, maxConnections: 3 })
    const sockets = Array.from({ length: 10 }, () => connect(server.port, '127.0.0.1').on('error', () => {}))
    await expect.poll(() => sockets.filter(({ destroyed }) => destroyed).length, { timeout: 5000 }).toBe(7)
    for (const socket of sockets) socket.destroy()
    await expect
      .poll(() =>
        fetch(`${server.url}/health`).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200)
    await server.close()
  })
})

describe('an orderly end', () => {
  test('what is under way comes to its end; what is new is refused, and GET /ready tells', async () => {
    const server = await serve(llm, { ...options, drainSeconds: 30 })
    expect((await fetch(`${server.url}/ready`)).status).toBe(200)
    const answer = ask(server.url, { ...chat, max_tokens: 400, ignore_eos: true } as typeof chat)
    await untilBusy(llm)
    const closing = server.close()
    const ready = await fetch(`${server.url}/ready`)
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'draining' }])
    expect((await fetch(`${server.url}/health`)).status).toBe(200)
    const late = await ask(server.url)
    expect(late.status).toBe(503)
    expect(late.headers.get('connection')).toBe('close')
    expect(await late.json()).toMatchObject({ error: { code: 'shutting_down' } })
    expect((await answer).status).toBe(200)
    expect(await closing).toBe(true)
    await expect(fetch(`${server.url}/health`)).rejects.toThrow()
  })

  test('what takes too long is cut off, and the result says so', async () => {
    const server = await serve(llm, { ...options, drainSeconds: 0.05 })
    const answer = ask(server.url, { ...chat, max_tokens: 480, ignore_eos: true } as typeof chat)
    await untilBusy(llm)
    expect(await server.close()).toBe(false)
    expect((await answer).status).toBe(503)
    await expectIdle(llm)
  })
})
