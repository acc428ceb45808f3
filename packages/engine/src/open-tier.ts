import type { ModelConfig } from '@slipway/checkpoint'
import { SlipwayError, type Device, type DType } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import { DiskTier } from './disk-tier.ts'
import { fingerprintOf, KvDiskCache } from './kv-disk-cache.ts'
import type { KvMemory } from './kv-memory.ts'
import type { ResolvedEngineOptions } from './options.ts'
import type { PrefixCache } from './prefix-cache.ts'
import { diskBytes } from './sizes.ts'

/** The files behind the prefix cache, if there are to be any. */
export async function openTier(
  directory: string,
  { kvDiskCache, activationDtype, quantization, headQuantization }: ResolvedEngineOptions,
  parts: {
    readonly device: Device
    readonly dtype: DType
    readonly pool: BlockPool
    readonly cache: PrefixCache | undefined
    readonly memory: KvMemory
    readonly config: ModelConfig
  },
): Promise<DiskTier | undefined> {
  if (!kvDiskCache) return undefined
  const { device, dtype, pool, cache, memory, config } = parts
  if (!cache)
    throw new SlipwayError('request', 'option kvDiskCache needs prefixCaching; leave one of them out', {
      param: 'kvDiskCache',
    })
  // threads change no bit, the instruction set might
  const name = device.name.replace(/, .*/, '')
  const settings = { name, dtype, activationDtype, quantization, headQuantization, format: memory.format }
  const fingerprint = await fingerprintOf(directory, config, settings)
  const budget = diskBytes(kvDiskCache.bytes, 'kvDiskCache.bytes')
  if (budget < memory.bytesPerBlock)
    throw new SlipwayError(
      'request',
      `option kvDiskCache.bytes: ${kvDiskCache.bytes} is less than one block of ${memory.bytesPerBlock} bytes; raise it`,
      { param: 'kvDiskCache.bytes' },
    )
  const disk = await KvDiskCache.open(kvDiskCache.directory, budget, fingerprint)
  return new DiskTier({ disk, pool, cache, memory })
}
