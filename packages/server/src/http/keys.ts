import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * Secrets that stand for something. Looking one up takes the same time whatever the text: its digest is compared with that of
 * every secret, to the end, so neither a common beginning nor the place in the list shows.
 */
export class KeyRing<T> {
  readonly #salt = randomBytes(32)
  readonly #entries: readonly { readonly digest: Buffer; readonly holder: T }[]

  constructor(keys: Iterable<readonly [key: string, holder: T]>) {
    this.#entries = Array.from(keys, ([key, holder]) => ({ digest: this.#digest(key), holder }))
  }

  /** Whom the text belongs to. */
  find(text: string): T | undefined {
    const digest = this.#digest(text)
    let found: T | undefined
    for (const entry of this.#entries) if (timingSafeEqual(digest, entry.digest)) found = entry.holder
    return found
  }

  #digest(text: string): Buffer {
    return createHash('sha256').update(this.#salt).update(text).digest()
  }
}

/** The key that a request shows: `Authorization: Bearer`, as at OpenAI, or `x-api-key`, as at Anthropic. */
export function shownKey(headers: Headers): string | undefined {
  const [, bearer] = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '') ?? []
  return bearer ?? headers.get('x-api-key') ?? undefined
}
