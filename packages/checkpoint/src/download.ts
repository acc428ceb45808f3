import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { SlipwayError } from '@slipway/tensor'
import { downloadFile } from './download-file.ts'
import type { FileProgress } from './download-file.ts'
import { HubCache, defaultCacheDir } from './hub-cache.ts'
import { hubClient } from './hub-client.ts'
import type { RemoteFile } from './hub-client.ts'
import { isMissing, show } from './json-file.ts'

export type { FileProgress } from './download-file.ts'

export interface ResolveOptions {
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string | undefined
  /** By default the environment's SLIPWAY_CACHE, else ~/.cache/slipway/hub; for its layout see {@link HubCache}. */
  readonly cacheDir?: string | undefined
  /** Takes only what is in the cache. */
  readonly offline?: boolean | undefined
  /** By default the environment's HF_TOKEN. */
  readonly token?: string | undefined
  /** By default the environment's HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string | undefined
  readonly onProgress?: ((progress: FileProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

const namePattern = /^\w[\w.-]{0,95}\/\w[\w.-]{0,95}$/
const revisionPattern = /^\w[\w./-]{0,199}$/

/**
 * The directory of a model: an existing directory is itself, `org/name` is downloaded from the hub if need be.
 * Asks the hub each time what the revision is now; content that is in the cache is not fetched again.
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<string> {
  if (await isDirectory(nameOrPath)) return nameOrPath
  const { revision = 'main', cacheDir = defaultCacheDir(), offline = false, signal } = options
  checkName(nameOrPath, revision)
  const cache = new HubCache(cacheDir, nameOrPath)
  if (offline) {
    const directory = await cache.find(revision)
    if (directory !== undefined) return directory
    const message = `${nameOrPath} (revision ${revision}) is not in the cache at ${cacheDir}; download it once without the offline option`
    throw new SlipwayError('not-found', message, { model: nameOrPath })
  }
  return cache.exclusively(() => download(nameOrPath, revision, cache, options), signal)
}

async function download(
  repository: string,
  revision: string,
  cache: HubCache,
  { token = process.env['HF_TOKEN'], endpoint, onProgress, signal }: ResolveOptions,
): Promise<string> {
  const hub = checkEndpoint(endpoint ?? (process.env['HF_ENDPOINT'] || 'https://huggingface.co'))
  const client = hubClient({ repository, revision, endpoint: hub, token, signal })
  const files = await client.list()
  if (!files.some(({ path }) => path === 'config.json')) {
    const message = `${repository} (revision ${revision}) has no config.json; it is not a model in the layout of the transformers library`
    throw new SlipwayError('checkpoint', message, { model: repository })
  }
  for (const file of files) {
    await downloadFile({ client, file, target: cache.blob(file.hash), endpoint: hub, onProgress, signal })
  }
  return cache.commit(revision, hashOfList(files), new Map(files.map(({ path, hash }) => [path, hash])))
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
  throw new SlipwayError('checkpoint', `${path}: is a file; give the directory of the model`, { file: path })
}

/** Both become parts of paths and addresses, so nothing but the hub's own alphabet gets through. */
function checkName(name: string, revision: string): void {
  // two dashes separate the parts in the cache; the hub forbids them in names
  if (!namePattern.test(name) || /\.\.|--/.test(name)) {
    const message = `${show(name)} is neither a directory nor a model of the hub in the form "org/name"`
    throw new SlipwayError('not-found', message, { model: name })
  }
  if (!revisionPattern.test(revision) || /\.\.|\/\//.test(revision)) {
    throw new SlipwayError('request', `${show(revision)} is not a revision: give a branch, a tag or a commit`, {
      revision,
    })
  }
}

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return endpoint.replace(/\/+$/, '')
  throw new SlipwayError('request', `${show(endpoint)} is not the address of a hub (HF_ENDPOINT)`, { endpoint })
}

function hashOfList(files: readonly RemoteFile[]): string {
  const lines = files.map(({ path, hash }) => `${path}\0${hash}\n`).sort()
  return createHash('sha256').update(lines.join('')).digest('hex')
}
