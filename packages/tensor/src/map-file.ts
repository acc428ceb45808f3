/**
 * Maps a file read-only into memory (one contiguous view, unmapped when collected).
 * Undefined where the native module is absent; the caller then reads ranges through `fs`.
 */
export function mapFile(_path: string): Uint8Array | undefined {
  return undefined
}
