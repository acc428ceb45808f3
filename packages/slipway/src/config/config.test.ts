import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { configurationPage } from './page.ts'
import { addConfigFlags } from './flags.ts'
import { resolveConfig, type Environment } from './resolve.ts'
import { serveConfigSchema } from './schema.ts'
import { settingsOf } from './settings.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slipway-config-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function fileWith(text: string, name = 'config.yaml'): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function resolve(args: readonly string[], environment: Environment = {}) {
  const command = addConfigFlags(new Command().exitOverride(), serveConfigSchema)
  return resolveConfig(serveConfigSchema, command.parse(args, { from: 'user' }).opts(), environment)
}

const keys = ['first-secret', 'second-secret']

test('flags win over the environment, that over the file, that over the defaults', () => {
  const path = fileWith('port: 1\nhost: from-file\nblock_size: 8\nmaxNumSeqs: 3\n')
  const environment = { SLIPWAY_CONFIG: path, SLIPWAY_PORT: '2', SLIPWAY_HOST: 'from-environment' }
  const { config, effective } = resolve(['--port', '3'], environment)
  expect(config).toMatchObject({ port: 3, host: 'from-environment', blockSize: 8, maxNumSeqs: 3, drainSeconds: 5 })
  const sources = Object.fromEntries(effective.map(({ name, source }) => [name, source]))
  expect(sources).toMatchObject({
    port: 'flag',
    host: 'environment',
    blockSize: 'file',
    maxNumSeqs: 'file',
    drainSeconds: 'default',
  })
})

test('every setting can be given in all three places', () => {
  const samples = { flag: true, number: 7, 'number or text': '1GB', text: 'text', list: ['listed-value'] } as const
  for (const { name, path, flag, variable, kind, choices } of settingsOf(serveConfigSchema)) {
    const value = choices ? choices[0]! : samples[kind]
    const text = String(kind === 'list' ? samples.list[0] : value)
    const at = (config: unknown): unknown =>
      path.reduce<unknown>((one, key) => (one as Record<string, unknown>)[key], config)
    // a pair that makes sense only together
    const rest = name === 'kvDiskCacheBytes' ? ['--kv-disk-cache-directory', '/d'] : []
    const ways = [
      () => resolve([...rest, flag, ...(kind === 'flag' ? [] : [text])]),
      () => resolve(rest, { [variable]: text }),
      () => resolve([...rest, '--config', fileWith(JSON.stringify({ [flag.slice(2)]: value }), 'one.json')]),
    ]
    for (const way of ways) {
      const attempt = (): unknown => at(way().config)
      // a value that is out of bounds is at least looked at
      try {
        expect(attempt()).toEqual(value)
      } catch (error) {
        expect(String(error)).toMatch(
          new RegExp(`option ${path.join('.')}(\\.0)?: |Allowed choices|It must be a number|is not a number`),
        )
      }
    }
  }
})

test('switches turn both ways everywhere', () => {
  const path = fileWith('prefix-caching: false\n')
  expect(resolve([]).config.prefixCaching).toBe(true)
  expect(resolve(['--config', path]).config.prefixCaching).toBe(false)
  expect(resolve(['--config', path], { SLIPWAY_PREFIX_CACHING: 'on' }).config.prefixCaching).toBe(true)
  expect(resolve(['--no-prefix-caching'], { SLIPWAY_PREFIX_CACHING: 'on' }).config.prefixCaching).toBe(false)
})

test('lists: flags repeat, the environment has commas, a file has lists or one value', () => {
  expect(resolve(['--api-key', keys[0]!, '--api-key', keys[1]!]).config.apiKeys).toEqual(keys)
  expect(resolve([], { SLIPWAY_API_KEY: keys.join(', ') }).config.apiKeys).toEqual(keys)
  expect(resolve(['--config', fileWith(`api-key: ${keys[0]}\n`)]).config.apiKeys).toEqual([keys[0]])
  const own = [{ key: keys[0], name: 'search', requestsPerMinute: 5 }]
  expect(resolve(['--config', fileWith(JSON.stringify({ apiKeys: own }))]).config.apiKeys).toEqual(own)
  expect(resolve(['--served-model-name', 'a', 'b']).config.servedModelNames).toEqual(['a', 'b'])
})

test('groups nest in files, or are one word', () => {
  const nested = fileWith('kv-disk-cache:\n  directory: /d\n  bytes: 1GB\n')
  expect(resolve(['--config', nested]).config.kvDiskCache).toEqual({ directory: '/d', bytes: '1GB' })
  const flat = fileWith('kv-disk-cache-directory: /d\n')
  expect(resolve(['--config', flat]).config.kvDiskCache).toEqual({ directory: '/d', bytes: '10GB' })
})

test('secrets are masked wherever settings are shown', () => {
  const { effective } = resolve(['--api-key', keys[0]!])
  expect(JSON.stringify(effective)).not.toContain(keys[0])
  expect(effective.find(({ name }) => name === 'apiKeys')).toEqual({ name: 'apiKeys', value: ['***'], source: 'flag' })
})

describe('mistakes name the place and the remedy', () => {
  test.each<[string, () => unknown, string]>([
    ['an unknown key', () => fromFile('max_num_seq: 4'), 'there is no setting max_num_seq; did you mean maxNumSeqs?'],
    ['one far from all', () => fromFile('tensor: 4'), 'there is no setting tensor'],
    ['one in a group', () => fromFile('kv-disk-cache:\n  dir: 4'), 'there is no setting kv-disk-cache.dir'],
    ['a setting given twice', () => fromFile('max_num_seqs: 4\nmaxNumSeqs: 5'), 'maxNumSeqs is given twice'],
    ['a file that is no YAML', () => fromFile('port: [1\nhost: x'), 'configuration file'],
    ['a file that is a list', () => fromFile('- port'), 'a mapping of settings is expected'],
    ['a file that is not there', () => resolve(['--config', '/no/such/file']), '/no/such/file: cannot be read'],
    ['a value of the file', () => fromFile('port: high'), '(given by'],
    ['a value of the environment', () => resolve([], { SLIPWAY_PORT: 'tcp://10.0.0.1:80' }), 'SLIPWAY_PORT: "tcp'],
    ['a switch', () => resolve([], { SLIPWAY_OFFLINE: 'maybe' }), 'SLIPWAY_OFFLINE: "maybe" is neither'],
    ['bounds', () => resolve([], { SLIPWAY_PORT: '70000' }), '(given by SLIPWAY_PORT)'],
    ['a choice', () => resolve([], { SLIPWAY_DTYPE: 'int3' }), 'option dtype: '],
    ['half a group', () => resolve(['--kv-disk-cache-bytes', '1GB']), 'option kvDiskCache.directory: '],
  ])('%s', (_, act, message) => {
    expect(act).toThrow(message)
  })

  const fromFile = (text: string): unknown => resolve(['--config', fileWith(text)])
})

test('variables that are none of ours are told, with the nearest', () => {
  const environment = { SLIPWAY_PROT: '1', SLIPWAY_SERVICE_HOST: 'x', SLIPWAY_CACHE: '/c', OTHER: '1' }
  expect(resolve([], environment).warnings).toEqual([
    'the environment variable SLIPWAY_PROT is not a setting; did you mean SLIPWAY_PORT?',
    'the environment variable SLIPWAY_SERVICE_HOST is not a setting',
  ])
})

test('YAML cannot blow up', () => {
  const levels = Array.from({ length: 9 }, (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : `*a${i - 1}, `.repeat(9)}]`)
  expect(() => resolve(['--config', fileWith(levels.join('\n'))])).toThrow('configuration file')
})

test('docs/configuration.md is up to date; else run node scripts/configuration.mjs', () => {
  const page = readFileSync(new URL('../../../../docs/configuration.md', import.meta.url), 'utf8')
  expect(page).toBe(configurationPage())
})
