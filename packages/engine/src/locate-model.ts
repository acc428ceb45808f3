import { resolveModel } from '@slipway/checkpoint'
import type { LoadProgress } from './protocol.ts'

/** Where a model that is no directory comes from. */
export interface ModelSource {
  /** Branch, tag or commit on the hub. */
  readonly revision?: string | undefined
  readonly cacheDir?: string | undefined
  /** Never asks the network. */
  readonly offline?: boolean | undefined
}

/** The directory of a model: of that name, or downloaded from the hub. */
export function locateModel(
  model: string,
  { revision, cacheDir, offline }: ModelSource,
  onProgress: (progress: LoadProgress) => void,
): Promise<string> {
  return resolveModel(model, {
    revision,
    cacheDir,
    offline,
    onProgress: ({ file, received, total }) =>
      onProgress({ stage: 'download', file, done: received, total: total ?? 0 }),
  })
}
