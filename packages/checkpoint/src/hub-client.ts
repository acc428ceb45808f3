import { SlipwayError } from '@slipway/tensor'
import { messageOf, show } from './json-file.ts'

/** One file that a model needs, as the hub lists it. */
export interface RemoteFile {
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Hexadecimal: SHA-256 of an LFS file, otherwise Git's SHA-1 of the blob. */
  readonly hash: string
}

export interface HubClient {
  /** The files of the model that an engine needs. */
  list(): Promise<RemoteFile[]>
  /** The content from byte `start` on; `isWhole` says that the hub ignored `start` and sends everything. */
  read(file: RemoteFile, start: number): Promise<{ body: AsyncIterable<Uint8Array>; isWhole: boolean }>
}

export interface HubOptions {
  readonly repository: string
  readonly revision: string
  readonly endpoint: string
  readonly token: string | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * Talks to the Hugging Face hub, or whatever answers like it at `endpoint`.
 * The list comes through @huggingface/hub, which knows its pages. Contents do not: its `downloadFile` tells neither
 * the status of an answer nor whether a range was honoured, and both decide whether a download may be resumed.
 */
export function hubClient(options: HubOptions): HubClient {
  const { repository, revision, endpoint, signal } = options
  const fetchHub = fetchWithToken(options)
  const branch = encodeURIComponent(revision)
  return {
    async list() {
      const { listFiles } = await import('@huggingface/hub')
      const entries = []
      try {
        // the library puts the revision into the address as it is
        const query = { repo: repository, revision: branch, hubUrl: endpoint, recursive: true, fetch: fetchHub }
        for await (const entry of listFiles(query)) entries.push(entry)
      } catch (error) {
        signal?.throwIfAborted()
        throw SlipwayError.is(error) ? error : unreachable(endpoint, error)
      }
      return selectFiles(entries, repository)
    },
    async read(file, start) {
      const path = file.path.split('/').map(encodeURIComponent).join('/')
      const headers = { 'accept-encoding': 'identity', ...(start > 0 ? { range: `bytes=${start}-` } : {}) }
      const response = await fetchHub(`${endpoint}/${repository}/resolve/${branch}/${path}`, { headers })
      return { body: response.body ?? emptyBody(), isWhole: response.status !== 206 }
    },
  }
}

async function* emptyBody(): AsyncIterable<Uint8Array> {}

/** The token goes to the endpoint only; `fetch` drops it by itself when a redirect leaves for another host. */
function fetchWithToken({ repository, revision, endpoint, token, signal }: HubOptions): typeof fetch {
  const { origin } = new URL(endpoint)
  return async (input, init) => {
    const address = new URL(input instanceof Request ? input.url : input)
    const headers = new Headers(init?.headers)
    if (token && address.origin === origin) headers.set('authorization', `Bearer ${token}`)
    const response = await fetch(input, { ...init, headers, signal: signal ?? null })
    if (response.ok) return response
    await response.body?.cancel()
    throw statusError(response.status, `${repository} (revision ${revision})`, address)
  }
}

function statusError(status: number, what: string, address: URL): SlipwayError {
  const details = { status, url: address.href }
  const from = `${address.origin} answered ${status} for ${address.pathname}`
  if (status === 404) {
    return new SlipwayError('not-found', `${what} is not on the hub: ${from}; check the name and the revision`, details)
  }
  if (status === 401 || status === 403) {
    const remedy = 'accept its conditions on its page, if it has any, and set HF_TOKEN'
    return new SlipwayError('request', `${what} may not be downloaded, or does not exist: ${from}; ${remedy}`, details)
  }
  const kind = status === 429 || status >= 500 ? 'overload' : 'request'
  return new SlipwayError(kind, `${what} cannot be downloaded: ${from}; try again later`, details)
}

export function unreachable(endpoint: string, error: unknown): SlipwayError {
  const cause =
    error instanceof Error && error.cause ? `${messageOf(error)}: ${messageOf(error.cause)}` : messageOf(error)
  const message = `${endpoint} cannot be reached (${cause}); check the network, or use the offline option with a model in the cache`
  return new SlipwayError('overload', message, { url: endpoint }, { cause: error })
}

interface Entry {
  readonly type: string
  readonly path: string
  readonly size: number
  readonly oid?: string
  readonly lfs?: { readonly oid: string }
}

/** Config, tokenizer and templates; of weights the ones in the layout of transformers if a model has several. */
export function selectFiles(entries: readonly Entry[], repository: string): RemoteFile[] {
  const files = entries.filter(({ type, path }) => type === 'file' && isNeeded(path))
  const isWeights = (path: string): boolean => path.endsWith('.safetensors')
  const isUsual = (path: string): boolean => /^model[.-]/.test(path)
  const hasUsual = files.some(({ path }) => isWeights(path) && isUsual(path))
  return files
    .filter(({ path }) => !isWeights(path) || isUsual(path) || !hasUsual)
    .map((entry) => checkEntry(entry, repository))
}

function isNeeded(path: string): boolean {
  if (path.startsWith('.')) return false
  // below the top: the parts of an embedding model and further templates
  if (path.includes('/')) return /^(?:[^/]+\/config\.json|additional_chat_templates\/[^/]+\.jinja)$/.test(path)
  return /\.(?:json|safetensors|jinja)$/.test(path) || /^(?:tokenizer\.model|vocab\.txt|merges\.txt)$/.test(path)
}

/** What the hub says becomes names in our file system, so it is checked. */
function checkEntry({ path, size, oid, lfs }: Entry, repository: string): RemoteFile {
  const hash = lfs?.oid ?? oid ?? ''
  const isSafe = path.split('/').every((part) => !part.startsWith('.') && !/[\\:\p{Cc}]/u.test(part))
  if (isSafe && Number.isSafeInteger(size) && size >= 0 && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
    return { path, size, hash }
  }
  throw new SlipwayError('checkpoint', `${repository}: the hub lists an unusable file ${show({ path, size, hash })}`)
}
