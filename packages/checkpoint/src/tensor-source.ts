import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError, type StoredRows } from '@slipway/tensor'
import { isObject, readJsonObject, show } from './json-file.ts'
import { nearestNames } from './nearest-names.ts'
import { foreignError } from './safetensors-header.ts'
import { SafetensorsFile } from './safetensors.ts'
import type { TensorInfo } from './safetensors.ts'

/** The weights of a checkpoint, in one file or many. */
export interface TensorSource {
  readonly names: readonly string[]
  /** Sum of all tensors. */
  readonly totalBytes: number
  has(name: string): boolean
  /** A `checkpoint` error with the nearest names when there is no such tensor, `unsupported` for a foreign dtype. */
  info(name: string): TensorInfo
  /** As {@link SafetensorsFile.bytes}. */
  bytes(name: string): Uint8Array
  /** As {@link SafetensorsFile.rows}; of use until the source is closed. */
  rows(name: string): StoredRows
  close(): void
}

const singleFile = 'model.safetensors'
const indexFile = 'model.safetensors.index.json'

/** Opens `model.safetensors`, or every shard that `model.safetensors.index.json` names. */
export async function openTensors(directory: string): Promise<TensorSource> {
  const single = join(directory, singleFile)
  if (existsSync(single)) {
    const file = await SafetensorsFile.open(single)
    return sourceOf(directory, new Map(namesIn(file).map((name) => [name, file])), [file])
  }
  const index = join(directory, indexFile)
  const json = await readJsonObject(index)
  if (!json) {
    const message =
      `${directory}: has neither ${singleFile} nor ${indexFile}; only safetensors weights are read ` +
      '(convert others with "save_pretrained" of the transformers library)'
    throw new SlipwayError('checkpoint', message, { file: directory })
  }
  return openShards(directory, index, parseWeightMap(json['weight_map'], index))
}

function namesIn(file: SafetensorsFile): string[] {
  return [...file.tensors.keys(), ...file.foreign.keys()]
}

function parseWeightMap(value: unknown, index: string): Map<string, string> {
  if (!isObject(value)) {
    throw new SlipwayError('checkpoint', `${index}: weight_map must be an object, found ${show(value)}`, {
      file: index,
    })
  }
  const shardOf = new Map<string, string>()
  for (const [name, shard] of Object.entries(value)) {
    // a plain file name: an index must not reach outside its directory
    if (typeof shard !== 'string' || !/^[\w-][\w.-]*\.safetensors$/.test(shard)) {
      const message = `${index}: weight_map sends "${name}" to ${show(shard)}; expected the name of a .safetensors file beside it`
      throw new SlipwayError('checkpoint', message, { file: index, tensor: name })
    }
    shardOf.set(name, shard)
  }
  return shardOf
}

async function openShards(
  directory: string,
  index: string,
  shardOf: ReadonlyMap<string, string>,
): Promise<TensorSource> {
  const files = new Map<string, SafetensorsFile>()
  try {
    const fileOf = new Map<string, SafetensorsFile>()
    for (const [name, shard] of shardOf) {
      const file = files.get(shard) ?? (await openShard(directory, index, shard))
      files.set(shard, file)
      if (!file.tensors.has(name) && !file.foreign.has(name)) {
        const message = `${file.path}: has no tensor "${name}", which ${indexFile} expects there; download both files again`
        throw new SlipwayError('checkpoint', message, { file: file.path, tensor: name })
      }
      fileOf.set(name, file)
    }
    return sourceOf(directory, fileOf, [...files.values()])
  } catch (error) {
    for (const file of files.values()) file.close()
    throw error
  }
}

async function openShard(directory: string, index: string, shard: string): Promise<SafetensorsFile> {
  const path = join(directory, shard)
  if (existsSync(path)) return SafetensorsFile.open(path)
  const message = `${path}: missing, though ${index} names it; download the model again`
  throw new SlipwayError('checkpoint', message, { file: path })
}

function sourceOf(
  directory: string,
  fileOf: ReadonlyMap<string, SafetensorsFile>,
  files: readonly SafetensorsFile[],
): TensorSource {
  const fileWith = (name: string): SafetensorsFile => {
    const file = fileOf.get(name)
    if (file) return file
    const near = nearestNames(name, fileOf.keys())
    const hint = near.length > 0 ? `; the nearest are ${near.map((n) => `"${n}"`).join(', ')}` : ''
    throw new SlipwayError('checkpoint', `${directory}: has no tensor "${name}"${hint}`, {
      file: directory,
      tensor: name,
    })
  }
  let totalBytes = 0
  for (const [name, file] of fileOf) totalBytes += (file.tensors.get(name) ?? file.foreign.get(name))!.byteLength
  return {
    names: [...fileOf.keys()],
    totalBytes,
    has: (name) => fileOf.has(name),
    info(name) {
      const file = fileWith(name)
      const info = file.tensors.get(name)
      if (!info) throw foreignError(file.foreign.get(name)!, file.path)
      return info
    },
    bytes: (name) => fileWith(name).bytes(name),
    rows: (name) => fileWith(name).rows(name),
    close() {
      for (const file of files) file.close()
    },
  }
}
