import { closeSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelConfig } from '@slipway/checkpoint'
import { fingerprintOf, SlipwayError, type Device, type DType } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import { KvDiskCache } from './kv-disk-cache.ts'
import { KvHostCache } from './kv-host-cache.ts'
import type { KvMemory } from './kv-memory.ts'
import { KvTier } from './kv-tier.ts'
import type { ResolvedEngineOptions } from './options.ts'
import type { PrefixCache } from './prefix-cache.ts'
import { diskBytes } from './sizes.ts'

/** What decides the bits of keys and values besides the tokens and the weights' files. */
export interface TierSettings {
  readonly device: Device
  readonly dtype: DType
  readonly memory: KvMemory
  readonly config: ModelConfig
}

/** Host memory and files behind the prefix cache, if there are to be any. */
export async function openTier(
  directory: string,
  options: ResolvedEngineOptions,
  parts: TierSettings & { readonly pool: BlockPool; readonly cache: PrefixCache | undefined },
): Promise<KvTier | undefined> {
  const { kvDiskCache, kvHostCacheBytes } = options
  const { pool, cache, memory } = parts
  const wanted = kvDiskCache ? 'kvDiskCache' : kvHostCacheBytes === undefined ? undefined : 'kvHostCacheBytes'
  if (!wanted) return undefined
  if (!cache)
    throw new SlipwayError('request', `option ${wanted} needs prefixCaching; leave one of them out`, { param: wanted })
  const host =
    kvHostCacheBytes === undefined
      ? undefined
      : new KvHostCache(budgetOf(kvHostCacheBytes, 'kvHostCacheBytes', memory), memory.bytesPerBlock)
  const disk = await openDisk(directory, options, parts)
  return new KvTier({ host, disk, pool, cache, memory })
}

/** The files of the blocks that the weights in a directory make, if there are to be any. */
export async function openDisk(
  directory: string,
  { kvDiskCache, activationDtype, quantization, headQuantization }: ResolvedEngineOptions,
  { device, dtype, memory, config }: TierSettings,
): Promise<KvDiskCache | undefined> {
  if (!kvDiskCache) return undefined
  const budget = budgetOf(kvDiskCache.bytes, 'kvDiskCache.bytes', memory)
  // threads change no bit, the code of the kernels does
  const kinds = { dtype, activationDtype, quantization, headQuantization }
  const settings = { kernels: device.kernels, ...kinds, format: memory.format, config }
  const fingerprint = weightsFingerprint(directory, settings).slice(0, 32)
  return KvDiskCache.open(kvDiskCache.directory, budget, fingerprint)
}

/** Changes with the files that hold the weights in a directory, and with what is made of them. */
export function weightsFingerprint(directory: string, recipe: unknown = null): string {
  const names = readdirSync(directory).filter((name) => name.endsWith('.safetensors'))
  const files = names.sort().map((name) => ({ descriptor: openSync(join(directory, name), 'r') }))
  try {
    return fingerprintOf(files, { names, recipe })
  } finally {
    for (const { descriptor } of files) closeSync(descriptor)
  }
}

function budgetOf(setting: number | string, option: string, { bytesPerBlock }: KvMemory): number {
  const budget = diskBytes(setting, option)
  if (budget >= bytesPerBlock) return budget
  throw new SlipwayError(
    'request',
    `option ${option}: ${setting} is less than one block of ${bytesPerBlock} bytes; raise it`,
    { param: option },
  )
}
