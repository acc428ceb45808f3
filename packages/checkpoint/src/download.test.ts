import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { resolveModel } from './download.ts'
import type { FileProgress, ResolveOptions } from './download.ts'
import { HubCache, defaultCacheDir } from './hub-cache.ts'
import { selectFiles } from './hub-client.ts'

const root = mkdtempSync(join(tmpdir(), 'slipway-hub-'))
afterAll(() => rmSync(root, { recursive: true }))

const config = Buffer.from('{"model_type":"llama"}')
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3))

const gitHash = (data: Buffer): string => createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex')
const lfsHash = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

/** What the look-alike of the hub does; tests change it. */
interface Hub {
  files: Map<string, Buffer>
  /** Hashes it lists instead of the true ones. */
  wrongHash: string | undefined
  /** Bytes of the weights after which it cuts the connection, one entry for each answer. */
  cuts: number[]
  ignoresRange: boolean
  statuses: number[]
  token: string | undefined
  requests: string[]
}

let hub: Hub
let server: Server
let options: ResolveOptions & { cacheDir: string }

function list(address: string): string {
  expect(address).toContain('recursive=true')
  const entries = [...hub.files].map(([path, data]) => {
    const isLfs = path.endsWith('.safetensors')
    const lfs = { oid: hub.wrongHash ?? lfsHash(data), size: data.length, pointerSize: 130 }
    return { type: 'file', path, size: data.length, oid: gitHash(data), ...(isLfs ? { lfs } : {}) }
  })
  return JSON.stringify([...entries, { type: 'directory', path: 'onnx', size: 0, oid: gitHash(config) }])
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { url = '' } = request
  hub.requests.push(`${url} ${request.headers.range ?? ''}`.trim())
  if (hub.token !== undefined && request.headers.authorization !== `Bearer ${hub.token}`) {
    response.writeHead(401).end()
    return
  }
  const status = hub.statuses.shift()
  if (status !== undefined) {
    response.writeHead(status).end()
    return
  }
  if (url.startsWith('/api/models/org/tiny/tree/main?')) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(list(url))
    return
  }
  const data = hub.files.get(url.replace('/org/tiny/resolve/main/', ''))
  if (!data) {
    response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end()
    return
  }
  const start = hub.ignoresRange ? 0 : Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': data.length - start })
  const cut = data === weights ? hub.cuts.shift() : undefined
  if (cut === undefined) response.end(data.subarray(start))
  // the client throws away what it has not taken out of its socket when the connection breaks
  else response.write(data.subarray(start, start + cut), () => setTimeout(() => response.destroy(), cut > 0 ? 100 : 0))
}

beforeEach(async () => {
  hub = {
    files: new Map([
      ['config.json', config],
      ['model.safetensors', weights],
      ['tokenizer.json', Buffer.from('{}')],
      ['empty.json', Buffer.alloc(0)],
      ['README.md', Buffer.from('read me')],
      ['pytorch_model.bin', Buffer.from('pickle')],
      ['1_Pooling/config.json', Buffer.from('{"a":1}')],
    ]),
    wrongHash: undefined,
    cuts: [],
    ignoresRange: false,
    statuses: [],
    token: undefined,
    requests: [],
  }
  server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  options = { cacheDir: mkdtempSync(join(root, 'cache-')), endpoint: `http://127.0.0.1:${port}/`, token: '' }
})

afterEach(async () => {
  vi.unstubAllEnvs()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

async function failure(promise: Promise<unknown>): Promise<SlipwayError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!SlipwayError.is(error)) throw new Error(`expected a SlipwayError, got ${String(error)}`)
  return error
}

const contents = () => hub.requests.filter((request) => request.includes('/resolve/'))

describe('a download', () => {
  test('brings the needed files and nothing else, and only once', async () => {
    const progress: FileProgress[] = []
    const directory = await resolveModel('org/tiny', { ...options, onProgress: (step) => progress.push(step) })
    expect(readdirSync(directory).sort()).toEqual([
      '1_Pooling',
      'config.json',
      'empty.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    expect(readFileSync(join(directory, 'model.safetensors')).equals(weights)).toBe(true)
    expect(readFileSync(join(directory, '1_Pooling', 'config.json'), 'utf8')).toBe('{"a":1}')
    expect(directory.startsWith(join(options.cacheDir, 'models--org--tiny', 'snapshots'))).toBe(true)
    const last = progress.filter(({ file }) => file === 'model.safetensors').at(-1)
    expect(last).toEqual({ file: 'model.safetensors', received: weights.length, total: weights.length })
    // an empty file needs no request
    expect(contents().length).toBe(4)
    expect(await resolveModel('org/tiny', options)).toBe(directory)
    expect(contents().length).toBe(4)
    expect(await resolveModel('org/tiny', { ...options, offline: true, endpoint: 'http://127.0.0.1:1' })).toBe(
      directory,
    )
  })

  test('goes on where a cut connection stopped', async () => {
    hub.cuts = [100_000, 50_000]
    const directory = await resolveModel('org/tiny', options)
    expect(readFileSync(join(directory, 'model.safetensors')).equals(weights)).toBe(true)
    const ranges = contents().filter((request) => request.includes('model.safetensors'))
    expect(ranges.length).toBe(3)
    expect(ranges[1]).toMatch(/bytes=\d+-$/)
    expect(readdirSync(join(options.cacheDir, 'models--org--tiny', 'blobs')).join()).not.toContain('incomplete')
  })

  test('goes on where another call stopped', async () => {
    const blobs = join(options.cacheDir, 'models--org--tiny', 'blobs')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, `${lfsHash(weights)}.incomplete`), weights.subarray(0, 1000))
    const directory = await resolveModel('org/tiny', options)
    expect(readFileSync(join(directory, 'model.safetensors')).equals(weights)).toBe(true)
    expect(contents()).toContain('/org/tiny/resolve/main/model.safetensors bytes=1000-')
  })

  test('starts again when the hub knows no ranges, or when too much is there', async () => {
    hub.ignoresRange = true
    hub.cuts = [70_000]
    const directory = await resolveModel('org/tiny', options)
    expect(readFileSync(join(directory, 'model.safetensors')).equals(weights)).toBe(true)
    const other = { ...options, cacheDir: mkdtempSync(join(root, 'cache-')) }
    const blobs = join(other.cacheDir, 'models--org--tiny', 'blobs')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, `${gitHash(config)}.incomplete`), Buffer.alloc(1000))
    expect(readFileSync(join(await resolveModel('org/tiny', other), 'config.json')).equals(config)).toBe(true)
  })

  test('waits for a hub that is busy for a while', async () => {
    hub.statuses = []
    const first = resolveModel('org/tiny', {
      ...options,
      onProgress: ({ file }) => {
        if (file === 'config.json') hub.statuses = [503]
      },
    })
    expect(readFileSync(join(await first, 'model.safetensors')).equals(weights)).toBe(true)
  })

  test('uses the environment', async () => {
    vi.stubEnv('HF_ENDPOINT', options.endpoint!)
    vi.stubEnv('HF_TOKEN', 'secret')
    vi.stubEnv('SLIPWAY_CACHE', options.cacheDir)
    hub.token = 'secret'
    const directory = await resolveModel('org/tiny')
    expect(directory.startsWith(options.cacheDir)).toBe(true)
    vi.stubEnv('SLIPWAY_CACHE', '')
    expect(defaultCacheDir()).toMatch(/slipway.hub$/)
  })

  test('two at once share the work', async () => {
    const [first, second] = await Promise.all([resolveModel('org/tiny', options), resolveModel('org/tiny', options)])
    expect(first).toBe(second)
    expect(contents().length).toBe(4)
  })

  test('a lock that nobody holds any more is broken', async () => {
    const cache = new HubCache(options.cacheDir, 'org/tiny')
    const lock = join(cache.root, 'lock')
    mkdirSync(lock, { recursive: true })
    const { utimesSync } = await import('node:fs')
    utimesSync(lock, 0, 0)
    expect(await cache.exclusively(async () => 7)).toBe(7)
    expect(readdirSync(cache.root)).toEqual([])
  })

  test('a new revision gets its own snapshot', async () => {
    const first = await resolveModel('org/tiny', options)
    hub.files.set('config.json', Buffer.from('{"model_type":"qwen3"}'))
    const second = await resolveModel('org/tiny', options)
    expect(basename(second)).not.toBe(basename(first))
    expect(readFileSync(join(first, 'config.json')).equals(config)).toBe(true)
    expect(await resolveModel('org/tiny', { ...options, offline: true })).toBe(second)
  })
})

describe('an error', () => {
  test('a wrong checksum', async () => {
    hub.wrongHash = 'a'.repeat(64)
    const error = await failure(resolveModel('org/tiny', options))
    expect(error.kind).toBe('checkpoint')
    expect(error.message).toContain('model.safetensors: what the hub sent has another checksum than what it listed')
    expect(readdirSync(join(options.cacheDir, 'models--org--tiny', 'blobs'))).toEqual([gitHash(config)])
    expect((await failure(resolveModel('org/tiny', { ...options, offline: true }))).kind).toBe('not-found')
  })

  test('more bytes than listed', async () => {
    const { port } = server.address() as AddressInfo
    const longer = createServer((request, response) => {
      if (request.url?.startsWith('/api/')) response.end(list('recursive=true'))
      else response.end(Buffer.concat([weights, config]))
    })
    await new Promise<void>((resolve) => longer.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(longer.address() as AddressInfo).port}`
    const error = await failure(resolveModel('org/tiny', { ...options, endpoint }))
    expect(error.message).toContain('is longer than what it listed')
    expect(port).toBeGreaterThan(0)
    longer.closeAllConnections()
    longer.close()
  })

  test('a model or a file that is not there', async () => {
    const error = await failure(resolveModel('org/absent', options))
    expect(error.kind).toBe('not-found')
    expect(error.message).toContain('org/absent (revision main) is not on the hub')
    expect(error.message).toContain('404')
  })

  test('a gated model', async () => {
    hub.token = 'secret'
    const error = await failure(resolveModel('org/tiny', options))
    expect(error.kind).toBe('request')
    expect(error.message).toContain('set HF_TOKEN')
    await resolveModel('org/tiny', { ...options, token: 'secret' })
  })

  test('a hub that is busy, or refuses', async () => {
    hub.statuses = [429]
    expect((await failure(resolveModel('org/tiny', options))).kind).toBe('overload')
    hub.statuses = [418]
    expect((await failure(resolveModel('org/tiny', options))).kind).toBe('request')
  })

  test('no network', async () => {
    const error = await failure(resolveModel('org/tiny', { ...options, endpoint: 'http://127.0.0.1:1' }))
    expect(error.message).toContain('http://127.0.0.1:1 cannot be reached')
    expect(error.message).toContain('offline option')
  })

  test('a connection that always breaks', async () => {
    hub.cuts = [0, 0, 0, 0, 0, 0, 0]
    const error = await failure(resolveModel('org/tiny', options))
    expect(error.message).toContain('cannot be reached')
  }, 15_000)

  test('offline without a cache', async () => {
    const error = await failure(resolveModel('org/tiny', { ...options, offline: true }))
    expect(error.kind).toBe('not-found')
    expect(error.message).toContain(`org/tiny (revision main) is not in the cache at ${options.cacheDir}`)
    expect(hub.requests).toEqual([])
  })

  test('a repository that is no model', async () => {
    hub.files.delete('config.json')
    expect((await failure(resolveModel('org/tiny', options))).message).toContain('has no config.json')
  })

  test('an abort', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort(new Error('enough'))
    await expect(resolveModel('org/tiny', { ...options, onProgress, signal: controller.signal })).rejects.toThrow(
      'enough',
    )
  })

  test.each([
    '',
    'tiny',
    '../tiny',
    'org/..',
    'org/../x',
    '/org/tiny',
    'org/tiny/x',
    'org/ti ny',
    'org/a--b',
    'org/x?y',
    'org\\x',
  ])('the name %j', async (name) => {
    const error = await failure(resolveModel(name, options))
    expect(error.message).toContain('is neither a directory nor a model of the hub')
    expect(hub.requests).toEqual([])
  })

  test('a revision or an address out of bounds', async () => {
    for (const revision of ['../x', 'a//b', 'a?b', '', 'a b']) {
      expect((await failure(resolveModel('org/tiny', { ...options, revision }))).message).toContain('is not a revision')
    }
    for (const endpoint of ['hub', 'file:///etc']) {
      const error = await failure(resolveModel('org/tiny', { ...options, endpoint }))
      expect(error.message).toContain('is not the address of a hub')
    }
  })
})

test('a directory is itself, a file is an error', async () => {
  expect(await resolveModel(root)).toBe(root)
  const file = join(root, 'file')
  writeFileSync(file, '')
  expect((await failure(resolveModel(file))).message).toContain('is a file')
})

describe('the choice of files', () => {
  const entry = (path: string) => ({ type: 'file', path, size: 1, oid: 'a'.repeat(40) })
  const chosen = (...paths: string[]) => selectFiles(paths.map(entry), 'org/x').map(({ path }) => path)

  test('takes the weights of the transformers layout if there are two layouts', () => {
    expect(chosen('model-00001-of-00001.safetensors', 'consolidated.safetensors', 'config.json')).toEqual([
      'model-00001-of-00001.safetensors',
      'config.json',
    ])
    expect(chosen('consolidated.safetensors')).toEqual(['consolidated.safetensors'])
    expect(chosen('onnx/model.onnx', 'runs/x/config.json', '.gitattributes.json', 'merges.txt')).toEqual(['merges.txt'])
    expect(chosen('additional_chat_templates/rag.jinja', 'chat_template.jinja')).toHaveLength(2)
  })

  test('refuses names and hashes that would leave the cache', () => {
    expect(chosen('../config.json', '..\\x.json', 'a/../config.json')).toEqual([])
    for (const bad of [
      entry('a\\x.json'),
      entry('C:x.json'),
      { ...entry('a.json'), oid: '../../x' },
      { ...entry('a.json'), size: -1 },
    ]) {
      expect(() => selectFiles([bad], 'org/x')).toThrow('org/x: the hub lists an unusable file')
    }
  })
})
