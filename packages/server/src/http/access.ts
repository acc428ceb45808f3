import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SlipwayError } from '@slipway/tensor'
import { createMiddleware } from 'hono/factory'
import { BatchCaller } from '../batches/caller.ts'
import type { ResolvedServerOptions } from '../options.ts'
import { refusal } from './errors.ts'
import { KeyAccount, type KeyLimits } from './key-account.ts'
import { KeyRing, shownKey } from './keys.ts'
import type { ServerEnv } from './request-id.ts'

/** Who may use the server: the holders of its keys, or all where it has none. */
export class Access {
  readonly #ring: KeyRing<KeyAccount> | undefined
  readonly #owners: ReadonlyMap<KeyAccount, string>

  /** Throws a `request` error for limits without keys and for a file that cannot be read. */
  constructor(options: ResolvedServerOptions) {
    const { requestsPerMinute, tokensPerMinute, maxConcurrentRequests } = options
    const limits: KeyLimits = { requestsPerMinute, tokensPerMinute, maxConcurrentRequests }
    const keys = [...(options.apiKeys ?? []), ...readKeys(options.apiKeyFile)].map((key) =>
      typeof key === 'string' ? { key } : key,
    )
    const unused = Object.entries(limits).find(([, value]) => value !== undefined)
    if (keys.length === 0 && unused)
      throw refusal(`option ${unused[0]}: it holds for every key, but there are none; set --api-key as well`, {
        param: unused[0],
      })
    const accounts = keys.map(({ key, name, ...own }, i): [string, KeyAccount] => {
      const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
      return [key, new KeyAccount(name ?? `key ${i + 1}`, { ...limits, ...given })]
    })
    if (new Set(keys.map(({ key }) => key)).size < keys.length)
      throw refusal('option apiKeys: a key is given twice; remove one of them', { param: 'apiKeys' })
    if (accounts.length > 0) this.#ring = new KeyRing(accounts)
    this.#owners = new Map(accounts.map(([key, account]) => [account, ownerOfKey(key)]))
  }

  get isOpen(): boolean {
    return this.#ring === undefined
  }

  /** Names whose key it is in what outlives the process, where names and places of keys may change; empty: nobody's. */
  ownerOf(account: KeyAccount | undefined): string {
    return (account && this.#owners.get(account)) ?? ''
  }

  /** The account of an owner whose key is known still. */
  accountOf(owner: string): KeyAccount | undefined {
    return [...this.#owners].find(([, one]) => one === owner)?.[0]
  }

  /** The account of the key that is shown; undefined where none is asked for. Throws 401. */
  identify(headers: Headers): KeyAccount | undefined {
    if (!this.#ring) return undefined
    const key = shownKey(headers)
    const account = key === undefined ? undefined : this.#ring.find(key)
    if (account) return account
    const message =
      key === undefined
        ? 'no API key was given; send it as "Authorization: Bearer KEY" or "x-api-key: KEY"'
        : 'the API key is not known here; check it, or ask who runs this server'
    throw new SlipwayError('request', message, { status: 401, code: 'invalid_api_key' })
  }
}

/** Where the files of the page lie, which asks for a key itself. */
export const playgroundPath = '/playground'

/**
 * Refuses requests without a key or beyond its limits, save on `others`: paths that are open, or have a key of their own.
 */
export function withAccess(access: Access, others: ReadonlySet<string>) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const { path } = c.req
    const isOpen = others.has(path) || path.startsWith(`${playgroundPath}/`)
    if (access.isOpen || isOpen) return next()
    const scope = c.get('scope')
    if ((c.env as unknown) instanceof BatchCaller) {
      scope.account = (c.env as BatchCaller).account
      return next()
    }
    const account = access.identify(c.req.raw.headers)!
    scope.account = account
    const isPost = c.req.method === 'POST'
    // looking costs nothing
    if (isPost) {
      // for a refusal
      for (const [name, value] of Object.entries(account.headers())) c.header(name, value)
      scope.onEnd(account.begin())
    }
    await next()
    if (isPost) for (const [name, value] of Object.entries(account.headers())) c.res.headers.set(name, value)
  })
}

function ownerOfKey(key: string): string {
  return createHash('sha256').update('owner of files and batches\0').update(key).digest('hex')
}

/** One key per line; `#` begins a comment. */
function readKeys(path: string | undefined): string[] {
  if (path === undefined) return []
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw refusal(`option apiKeyFile: ${(error as Error).message}`, { param: 'apiKeyFile' })
  }
  const keys = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const bad = keys.findIndex((key) => !/^[\x21-\x7e]{8,512}$/.test(key))
  if (bad < 0 && keys.length > 0) return keys
  const reason =
    keys.length === 0 ? 'has no key' : `has a key (number ${bad + 1}) that is not 8 to 512 ASCII characters`
  throw refusal(`option apiKeyFile: ${path} ${reason}`, { param: 'apiKeyFile' })
}
