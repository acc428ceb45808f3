// @ts-check
// New tokens per second of sequences that decode together: each with an adapter of its own, all with one, none with any.
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { writeSafetensors } from '@slipway/checkpoint'
import { measureMachine } from '@slipway/tensor'
import { LLM } from 'slipway'
import { busyTime, describeMachine } from './lib/machine.mjs'
import { readOptions, refuse } from './lib/options.mjs'
import { prepare, workDirectory } from './lib/prepare.mjs'
import { bf16Bits, random } from './lib/random-bytes.mjs'
import { median, rateOf } from './lib/rates.mjs'
import { disturbed, printRound, printSummary, writeJson } from './lib/report.mjs'
import { roundingOf } from './lib/rounding.mjs'
import { shapes } from './lib/shapes.mjs'
import { bytesPerToken } from './lib/cost.mjs'

const flags = /** @type {const} */ ([
  ['sequences', '16', 'sequences that decode together'],
  ['rank', '16', 'of the adapters, in all linear layers'],
  ['tokens', '32', 'new tokens of each'],
])
const options = readOptions('lora', flags, ['shape', 'rounds', 'retries', 'quantization', 'threads', 'json'])
const shape = shapes[options.shape]
if (shape.experts) refuse('--shape: adapters of all layers need a model without experts')
const [sequences, rank, tokens] = flags.map(([name]) => options.own[name][0])
const prompt = 16
const task = { kind: /** @type {const} */ ('decode'), prompt, tokens, sequences }

/** A PEFT adapter with random weights in bf16. */
async function writeAdapter() {
  const { hidden, intermediate, layers, heads, kvHeads, headDim } = shape
  const sizes = /** @type {const} */ ([
    ['self_attn.q_proj', hidden, heads * headDim],
    ['self_attn.k_proj', hidden, kvHeads * headDim],
    ['self_attn.v_proj', hidden, kvHeads * headDim],
    ['self_attn.o_proj', heads * headDim, hidden],
    ['mlp.gate_proj', hidden, intermediate],
    ['mlp.up_proj', hidden, intermediate],
    ['mlp.down_proj', intermediate, hidden],
  ])
  const next = random(7)
  const matrix = (/** @type {string} */ name, /** @type {readonly number[]} */ dims) => {
    const values = Uint16Array.from({ length: dims[0] * dims[1] }, () => bf16Bits((next() - 0.5) * 0.02))
    return { name, dtype: /** @type {const} */ ('bf16'), shape: dims, bytes: new Uint8Array(values.buffer) }
  }
  const tensors = Array.from({ length: layers }, (_, i) =>
    sizes.flatMap(([module, inputs, outputs]) => {
      const name = `base_model.model.model.layers.${i}.${module}`
      return [matrix(`${name}.lora_A.weight`, [rank, inputs]), matrix(`${name}.lora_B.weight`, [outputs, rank])]
    }),
  ).flat()
  const folder = join(workDirectory, `lora-${options.shape}-${rank}`)
  await mkdir(folder, { recursive: true })
  await writeSafetensors(join(folder, 'adapter_model.safetensors'), tensors)
  const config = { peft_type: 'LORA', r: rank, lora_alpha: rank, target_modules: 'all-linear' }
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config))
  return { folder, bytes: tensors.reduce((sum, { bytes }) => sum + bytes.length, 0) }
}

const { checkpoint } = await prepare(options.shape, { gguf: false, quantization: options.quantization })
const adapter = await writeAdapter()
const llm = await LLM.load(checkpoint, {
  threads: options.threads,
  maxModelLen: prompt + tokens + 1,
  maxNumSeqs: sequences,
  prefixCaching: false,
  // all prompts in one step, so that all decode together from then on
  stepBudgetMs: 60_000,
  enableLora: true,
  maxLoras: sequences,
  maxLoraRank: rank,
  ...roundingOf(options.quantization),
})
// one file under many names: each has a place in memory of its own
const names = Array.from({ length: sequences }, (_, i) => `adapter ${i}`)
for (const name of names) await llm.loadLora(name, adapter.folder)

const sides = /** @type {const} */ ([
  { name: 'an adapter each', lora: (/** @type {number} */ i) => names[i], used: sequences },
  { name: 'one adapter', lora: () => names[0], used: 1 },
  { name: 'no adapter', lora: () => undefined, used: 0 },
])

/** @param {(typeof sides)[number]} side */
async function measure(side) {
  const [start, busy, own] = [performance.now(), busyTime(), process.cpuUsage()]
  const arrivals = await Promise.all(
    names.map(async (_, i) => {
      /** @type {number[]} */
      const times = []
      const ids = Array.from({ length: prompt }, (_, j) => ((i * prompt + j + 1) * 7919) % shape.vocab)
      const params = { temperature: 0, maxTokens: tokens, ignoreEos: true }
      for await (const event of llm.submit(ids, params, { lora: side.lora(i) }))
        if (event.type === 'delta') for (const _ of event.tokenIds) times.push(performance.now() - start)
      return times
    }),
  )
  const took = performance.now() - start
  const { user, system } = process.cpuUsage(own)
  const others = Math.max(0, busyTime() - busy - (user + system) / 1000) / (took * availableParallelism())
  return { value: rateOf(task, arrivals), others }
}

const values = sides.map(() => /** @type {number[]} */ ([]))
const others = []
const speeds = []
for (let round = 0; round <= options.rounds; round++) {
  const speed = measureMachine(options.threads) ?? refuse('the native kernels are not built: npm run build tells why')
  const order = sides.map((_, i) => i)
  for (const i of round % 2 === 0 ? order : order.reverse()) {
    let measured = await measure(sides[i])
    if (round === 0) continue
    // the least disturbed measurement counts, not the fastest
    for (let j = 0; j < options.retries && measured.others > disturbed; j++) {
      const again = await measure(sides[i])
      if (again.others < measured.others) measured = again
    }
    values[i].push(measured.value)
    others.push(measured.others)
  }
  if (round === 0) continue
  speeds.push(speed)
  printRound(round, `batch ${sequences}`, 'tok/s', sides, values, speed, others.slice(-sides.length))
}
await llm.close()

const medians = Object.fromEntries(sides.map(({ name }, i) => [name, median(values[i])]))
const ours = await bytesPerToken(shape, options.quantization)
const bytes = await ours(prompt + (tokens >> 1))
/** @type {import('./lib/harness.mjs').Result} */
const result = {
  bench: 'lora',
  shape: options.shape,
  quantization: options.quantization,
  threads: options.threads,
  rounds: options.rounds,
  unit: 'tok/s',
  machine: describeMachine(),
  speed: { bandwidth: median(speeds.map((s) => s.bandwidth)), peak: median(speeds.map((s) => s.peak)) },
  others: others.reduce((a, b) => a + b, 0) / others.length,
  contestants: sides.map(({ name }) => ({ name, info: { version: `(rank ${rank})` } })),
  cases: [
    {
      label: `batch ${sequences}`,
      task,
      values: Object.fromEntries(sides.map(({ name }, i) => [name, values[i]])),
      medians,
      ratios: Object.fromEntries(sides.slice(1).map(({ name }) => [name, medians[sides[0].name] / medians[name]])),
      // the model is read once for all sequences, and each adapter once
      bytesPerToken: Object.fromEntries(
        sides.map(({ name, used }) => [name, (bytes + used * adapter.bytes) / sequences]),
      ),
    },
  ],
}
printSummary(result)
if (options.json) await writeJson(options.json, result)
