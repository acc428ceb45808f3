import { SlipwayError } from '@slipway/tensor'

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}

/** Bytes meant by `kvCacheMemory`: up to 1 is a share of `freeBytes`, more is bytes, text may carry a unit. */
export function memoryBytes(setting: number | string, freeBytes: number): number {
  const { value, unit } = parseSize(setting) ?? {}
  if (value === undefined)
    throw new SlipwayError('request', `option kvCacheMemory: "${setting}" is neither bytes (2GB) nor a share (0.3)`)
  return Math.floor(unit === '' && value <= 1 ? value * freeBytes : value * units[unit!]!)
}

/** Bytes meant by an option such as `packedCacheLimit`; text may carry a unit. */
export function diskBytes(setting: number | string, option: string): number {
  const { value, unit } = parseSize(setting) ?? {}
  if (value === undefined)
    throw new SlipwayError('request', `option ${option}: "${setting}" is not a number of bytes (32GiB)`, {
      param: option,
    })
  return Math.floor(value * units[unit!]!)
}

function parseSize(setting: number | string): { value: number; unit: string } | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(setting))
  const unit = match?.[2]!.toLowerCase() ?? '?'
  return match && unit in units ? { value: Number(match[1]), unit } : undefined
}
