// @ts-check
import { existsSync, statSync, readdirSync } from 'node:fs'
import { mkdir, rename, rm, statfs } from 'node:fs/promises'
import { tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { writeCheckpoint } from './checkpoint.mjs'
import { writeGgufModel } from './gguf-model.mjs'
import { refuse } from './options.mjs'
import { kvBytesPerToken, shapes, weightCounts } from './shapes.mjs'

/** Part of every file's name: raise it when the writers change what they write. */
const version = 1

export const workDirectory = process.env['SLIPWAY_BENCH_DIR'] ?? join(tmpdir(), 'slipway-bench')

/**
 * Makes the files of a shape, once. Ends the process where disk or memory are too small for them.
 *
 * @param {string} name
 * @param {{ gguf: boolean, quantization?: string }} wanted `quantization` of our weights, for their size
 * @returns {Promise<{ checkpoint: string, gguf: string }>}
 */
export async function prepare(name, wanted) {
  const shape = shapes[name]
  await mkdir(workDirectory, { recursive: true })
  const checkpoint = join(workDirectory, `${name}-v${version}`)
  const gguf = join(workDirectory, `${name}-v${version}.gguf`)
  refuseWithoutMemory(name, wanted.quantization ?? 'wint4')
  if (!existsSync(checkpoint)) {
    await refuseWithoutDisk(name)
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

const gigabytes = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`

/** @param {string} name @param {string} quantization */
function refuseWithoutMemory(name, quantization) {
  const { matrices, others } = weightCounts(shapes[name])
  const bits = { wint4: 4.25, wint8: 8.25 }[quantization] ?? 16
  // caches, activations and the rest of the process take a little more
  const needed = (matrices * bits) / 8 + 2 * others + 1e9
  if (needed > totalmem())
    refuse(
      `--shape ${name} --quantization ${quantization} needs ${gigabytes(needed)} of memory, this machine has ` +
        `${gigabytes(totalmem())}: take fewer bits or a smaller shape`,
    )
}

/** @param {string} name */
async function refuseWithoutDisk(name) {
  const { matrices, others } = weightCounts(shapes[name])
  const { bavail, bsize } = await statfs(workDirectory)
  const [needed, free] = [2 * (matrices + others), bavail * bsize]
  if (needed > free)
    refuse(
      `--shape ${name}: its checkpoint takes ${gigabytes(needed)} in ${workDirectory}, where ${gigabytes(free)} are ` +
        'free: name another disk with SLIPWAY_BENCH_DIR',
    )
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
