// @ts-check
/** @typedef {import('@slipway/tensor').Device} Device */
/** @typedef {import('@slipway/models').LanguageModel} LanguageModel */

/** Tokens of a KV block: the engine's default. */
const blockSize = 64

/**
 * One step of the engine: every sequence gets `rows` tokens after `context` tokens that it has already, and wants the
 * logits of the last one.
 *
 * @typedef {object} StepShape
 * @property {number} sequences
 * @property {number} rows
 * @property {number} context
 */

/**
 * Caches and inputs of a step, laid out as the engine's runner does; `record` records the model's ops.
 *
 * @param {Device} device
 * @param {LanguageModel} model
 * @param {StepShape} step
 */
export function prepareStep(device, model, { sequences, rows, context }) {
  const blocks = Math.ceil((context + rows) / blockSize)
  const { kvWidth, config } = model
  const cache = () => device.zeros([sequences * blocks, blockSize, kvWidth], 'bf16')
  const caches = Array.from({ length: config.numLayers }, () => ({ keys: cache(), values: cache() }))
  const all = Array.from({ length: sequences * rows }, (_, i) => ({
    sequence: Math.floor(i / rows),
    position: context + (i % rows),
  }))
  const ints = (/** @type {readonly number[]} */ values, shape = [values.length]) => device.tensor(values, shape, 'i32')
  const batch = {
    ids: ints(all.map((_, i) => (i * 7919) % config.vocabSize)),
    positions: ints(all.map(({ position }) => position)),
    sequences: ints(all.map(({ sequence }) => sequence)),
    slots: ints(all.map(({ sequence, position }) => sequence * blocks * blockSize + position)),
    blockTables: ints(
      Array.from({ length: sequences * blocks }, (_, i) => i),
      [sequences, blocks],
    ),
    logits: {
      rows: ints(Array.from({ length: sequences }, (_, s) => s * rows + rows - 1)),
      positions: ints(Array.from({ length: sequences }, () => context + rows - 1)),
      sequences: ints(Array.from({ length: sequences }, (_, s) => s)),
    },
  }
  return {
    record() {
      const logits = model.forward(batch, caches)
      if (!logits) throw new Error('a step without logits')
      return logits
    },
  }
}
