// @ts-check
import { existsSync, statSync, readdirSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { writeCheckpoint } from './checkpoint.mjs'
import { writeGgufModel } from './gguf-model.mjs'
import { kvBytesPerToken, shapes } from './shapes.mjs'

/** Part of every file's name: raise it when the writers change what they write. */
const version = 1

export const workDirectory = process.env['SLIPWAY_BENCH_DIR'] ?? join(tmpdir(), 'slipway-bench')

/**
 * Makes the files of a shape, once.
 *
 * @param {string} name
 * @param {{ gguf: boolean }} wanted
 * @returns {Promise<{ checkpoint: string, gguf: string }>}
 */
export async function prepare(name, wanted) {
  const shape = shapes[name]
  await mkdir(workDirectory, { recursive: true })
  const checkpoint = join(workDirectory, `${name}-v${version}`)
  const gguf = join(workDirectory, `${name}-v${version}.gguf`)
  if (!existsSync(checkpoint)) {
    console.log(`writing ${checkpoint}`)
    const temporary = `${checkpoint}.tmp`
    await rm(temporary, { recursive: true, force: true })
    await writeCheckpoint(temporary, shape)
    await rename(temporary, checkpoint)
  }
  if (wanted.gguf && !existsSync(gguf)) {
    console.log(`writing ${gguf}`)
    await writeGgufModel(gguf, shape)
  }
  return { checkpoint, gguf }
}

/** The weights of a model: of a directory, or of one file. @param {string} path */
export function weightFiles(path) {
  if (statSync(path).isFile()) return [path]
  return readdirSync(path).flatMap((file) => (file.endsWith('.safetensors') ? [join(path, file)] : []))
}

/**
 * Why a model of this shape cannot have sequences so long here, on both sides at once; undefined if it can.
 *
 * @param {string} name
 * @param {number} length tokens
 */
export function reasonAgainst(name, length) {
  const { positions } = shapes[name]
  if (length >= positions) return `${length} tokens, and the model has ${positions} positions`
  const bytes = 2 * kvBytesPerToken(shapes[name]) * length
  if (bytes > totalmem() / 4) return `keys and values of both sides would take ${(bytes / 2 ** 30).toFixed(1)} GiB`
  return undefined
}

/** Whether a file of weights can be in memory beside another one. @param {string} gguf */
export const fitsTwice = (gguf) => 2.5 * statSync(gguf).size < totalmem()
