// @ts-check
import { parseConfig } from '@slipway/checkpoint'
import { openStep } from '@slipway/engine'
import { loadModel } from '@slipway/models'
import { byteLengthOf, costsOf, nullDevice } from '@slipway/tensor'
import { configOf } from './checkpoint.mjs'
import { roundingOf } from './rounding.mjs'
import { tensorsOf } from './shapes.mjs'

/** @typedef {import('./shapes.mjs').Shape} Shape */
/** @typedef {import('@slipway/tensor').Step} Step */

/**
 * Bytes of weights, keys and values that our side reads for one token at a length of context, as its ops declare them:
 * a step is recorded on the null device with no layer and with one, and the rest is multiplication.
 *
 * @param {Shape} shape
 * @param {string} quantization
 * @returns {Promise<(context: number) => Promise<number>>}
 */
export async function bytesPerToken(shape, quantization) {
  const [without, withOne] = await Promise.all(
    [0, 1].map((layers) => bytesOfLayers({ ...shape, layers }, quantization)),
  )
  return async (context) => {
    const base = await without(context)
    return base + shape.layers * ((await withOne(context)) - base)
  }
}

/**
 * @param {Shape} shape
 * @param {string} quantization
 * @returns {Promise<(context: number) => Promise<number>>}
 */
async function bytesOfLayers(shape, quantization) {
  const { device } = nullDevice()
  const config = { ...parseConfig(configOf({ ...shape, layers: 1 })), numLayers: shape.layers }
  const checkpoint = /** @type {any} */ ({ config, directory: '', tensors: zeroTensors(shape) })
  const model = await loadModel(checkpoint, device, {
    dtype: 'bf16',
    ...roundingOf(quantization),
  })
  return async (context) => {
    const step = { sequences: 1, rows: 1, context }
    // blocks of one token: no cache is larger than its context
    const run = openStep(device, model, step, { blockSize: 1, kvDtype: 'bf16' })
    /** @type {import('@slipway/tensor').Program[]} */
    const programs = []
    device.observer = { timesSteps: false, onRun: ({ program }) => programs.push(program) }
    await run()
    const [program] = programs
    const costs = await costsOf(program)
    return program.steps.reduce((sum, one, i) => sum + residentBytes(one, costs[i].bytes), 0)
  }
}

/**
 * What a step reads of resident memory: its bytes, less what other steps of the program give and take.
 *
 * @param {Step} step
 * @param {number} bytes
 */
function residentBytes({ inputs, outputs }, bytes) {
  const passing = [...inputs, ...outputs].filter((tensor) => tensor && !tensor.base.storage)
  return Math.max(
    0,
    passing.reduce((sum, tensor) => sum - (tensor ? byteLengthOf(tensor) : 0), bytes),
  )
}

/** A checkpoint full of zeros. @param {Shape} shape */
function zeroTensors(shape) {
  const dims = new Map(tensorsOf(shape).flatMap(({ names, dims }) => names.map((name) => [name, dims])))
  const info = (/** @type {string} */ name) => {
    const shape = dims.get(name) ?? []
    return { name, dtype: 'bf16', shape, byteLength: byteLengthOf({ shape, dtype: 'bf16' }), offset: 0 }
  }
  const names = [...dims.keys()]
  const zeros = new Uint8Array(Math.max(...names.map((name) => info(name).byteLength)))
  return {
    names,
    totalBytes: names.reduce((sum, name) => sum + info(name).byteLength, 0),
    has: (/** @type {string} */ name) => dims.has(name),
    info,
    bytes: (/** @type {string} */ name) => zeros.subarray(0, info(name).byteLength),
    // nobody reads them: the null device only counts
    rows: (/** @type {string} */ name) => ({ ...info(name), rows: info(name).shape[0], path: '', descriptor: -1 }),
    close() {},
  }
}
