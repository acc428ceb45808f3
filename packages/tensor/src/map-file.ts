import { constants } from 'node:buffer'
import { getSystemErrorMap } from 'node:util'
import { SlipwayError } from './errors.ts'
import { loadNative } from './native.ts'

/**
 * Maps a file into memory (one contiguous view, unmapped when collected). Writes to it change a private copy, never the
 * file. Undefined where the native module is absent or the file is longer than a typed array may be; the caller then
 * reads ranges through `fs`.
 */
export function mapFile(path: string): Uint8Array | undefined {
  const mapped = loadNative().native?.map(path)
  if (mapped === undefined) return undefined
  if (typeof mapped === 'number') {
    const [code, text] = getSystemErrorMap().get(-mapped) ?? [`errno ${mapped}`, 'unknown error']
    throw new SlipwayError('checkpoint', `cannot map ${path}: ${text} (${code})`, { path, code })
  }
  return mapped.byteLength > constants.MAX_LENGTH ? undefined : new Uint8Array(mapped)
}
