import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { loadNative } from '../native.ts'
import type { HostTensor, Op } from '../op.ts'
import { add, addOp, siluMulOp } from '../ops/elementwise.ts'
import { kvWriteOp } from '../ops/kv-cache.ts'
import { CaseRandom, given } from '../ops/random.ts'
import { rmsNorm, rmsNormOp } from '../ops/rms-norm.ts'
import { ropeOp, ropeTableOp } from '../ops/rope.ts'
import { argmaxOp, logprobsOp } from '../ops/logprobs.ts'
import { sampleOp } from '../ops/sample.ts'
import { cpuFor, equalBits, hostTensor, runCase, testableIsas } from '../test-harness.ts'
import { cpuDevice } from './cpu.ts'

const open: Device[] = []
const device = (threads: number): Device => {
  open.push(cpuFor(testableIsas()[0]!, threads).device)
  return open.at(-1)!
}
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

describe.skipIf(!loadNative().native)('work divided among threads', () => {
  const random = new CaseRandom(31)
  const rows = 64
  const vocabulary = 33000
  const f32 = (...shape: number[]): HostTensor => random.normal(shape, 'f32', 3)
  const params = (values: readonly number[]): HostTensor =>
    hostTensor(
      Array.from({ length: rows }, (_, row) => (row % 3 === 0 ? [0, 0, 1, 0, 1] : values)).flat(),
      [rows, 5],
      'f32',
    )
  const draws = [random.integers([rows, 2], 2 ** 32, 'u32'), random.integers([rows], 5000, 'u32'), undefined]
  const logits = f32(rows, vocabulary)
  const large: { op: Op; inputs: (HostTensor | undefined)[]; attributes?: Record<string, number> }[] = [
    { op: addOp, inputs: [f32(rows, 4096), f32(rows, 4096)] },
    { op: siluMulOp, inputs: [f32(rows, 9728)] },
    { op: rmsNormOp, inputs: [f32(512, 896), f32(896)], attributes: { eps: 1e-6 } },
    { op: ropeOp, inputs: [f32(512, 896), f32(512, 64)], attributes: { headDim: 64 } },
    { op: ropeTableOp, inputs: [random.integers([999], 5000), f32(32)], attributes: { scale: 1 } },
    {
      op: kvWriteOp,
      inputs: [
        f32(20, 32, 128),
        f32(20, 32, 128),
        undefined,
        undefined,
        f32(640, 128),
        f32(640, 128),
        given(permutation(640), [640], 'i32'),
      ],
    },
    { op: sampleOp, inputs: [logits, params([1, 0, 1, 0, 1]), ...draws] },
    { op: sampleOp, inputs: [logits, params([0.8, 50, 0.9, 0.01, 0.9]), ...draws] },
    { op: sampleOp, inputs: [logits, params([1.5, 0, 0.3, 0, 1]), ...draws] },
    { op: argmaxOp, inputs: [logits] },
    { op: logprobsOp, inputs: [logits, random.integers([rows], vocabulary)], attributes: { k: 20 } },
  ]

  it.each(large)('$op.name: more threads than cores, which overtake each other, give the same bits', async (one) => {
    const opCase = { label: '', attributes: {}, ...one }
    const expected = await runCase(device(1), one.op, opCase)
    for (const threads of [2, 5, 12]) {
      const many = device(threads)
      for (let i = 0; i < 3; i++) expect(equalBits(await runCase(many, one.op, opCase), expected)).toBe(true)
    }
  })

  it('a fault in the middle leaves the threads ready for more', async () => {
    const many = device(4)
    const alone = device(1)
    const { op, inputs } = large[1]!
    const expected = await runCase(alone, op, { label: '', inputs, attributes: {} })
    const cache = f32(20, 32, 128)
    for (const bad of [0, 300, 639]) {
      const slots = permutation(640).map((slot, row) => (row === bad ? 640 : slot))
      const write = {
        label: '',
        inputs: [cache, cache, undefined, undefined, f32(640, 128), f32(640, 128), given(slots, [640], 'i32')],
        attributes: {},
      }
      await expect(runCase(many, kvWriteOp, write)).rejects.toThrow('kvWrite: index 640 is out of range')
      // an op with barriers of its own, after a fault that came without one
      const chosen = given(
        permutation(rows).map((row) => (row === 3 ? vocabulary : row)),
        [rows],
        'i32',
      )
      const rank = { label: '', inputs: [logits, chosen], attributes: { k: 1 } }
      await expect(runCase(many, logprobsOp, rank)).rejects.toThrow('logprobs: index 33000 is out of range')
      expect(equalBits(await runCase(many, op, { label: '', inputs, attributes: {} }), expected)).toBe(true)
    }
  })
})

function permutation(length: number): number[] {
  return Array.from({ length }, (_, i) => (i * 7) % length)
}

describe.skipIf(process.platform !== 'linux' || !loadNative().native)('threads of a device', () => {
  const threadIds = (): string[] => readdirSync('/proc/self/task')
  /** Times that a thread went to sleep of its own accord; giving way to others is not counted here. */
  const sleepsOf = (id: string): number => {
    const status = readFileSync(`/proc/self/task/${id}/status`, 'utf8')
    return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)![1])
  }

  it('do not sleep while a run has work left, and do afterwards', async () => {
    const others = new Set(threadIds())
    const cpu = cpuDevice({ threads: 2 })
    const helpers = threadIds().filter((id) => !others.has(id))
    expect(helpers).toHaveLength(1)
    const small = cpu.tensor(new Float32Array(4096), [4, 1024], 'f32')
    // one item, so all threads but one wait for a few hundred microseconds
    const large = cpu.zeros([1, 2 ** 20], 'f32')
    const weight = cpu.zeros([2 ** 20], 'f32')
    const runs = 10
    const barriers = 500
    const sleeps = (): number => helpers.reduce((sum, id) => sum + sleepsOf(id), 0)
    const before = sleeps()
    for (let run = 0; run < runs; run++) {
      let [x, y] = [small, large]
      for (let i = 0; i < barriers; i++) {
        x = add(x, small)
        if (i % 100 === 99) y = rmsNorm(y, weight, 1e-6)
      }
      await cpu.run([x, y])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const during = sleeps() - before
    expect(during, 'it slept between the runs').toBeGreaterThanOrEqual(runs - 1)
    expect(during, `and not at ${runs * barriers} barriers`).toBeLessThanOrEqual(2 * runs)
    cpu.close()
  })
})
