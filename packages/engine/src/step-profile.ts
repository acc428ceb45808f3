import { add, costsOf, type Device, type ObservedRun, type Program, type Step, type Tensor } from '@slipway/tensor'

/** All calls of one op with the same shapes, in one step. */
export interface OpProfile {
  readonly op: string
  /** Shapes of the rows, the weight if there is one, and the outputs. */
  readonly shapes: string
  readonly calls: number
  /** Of all calls together, without barriers. */
  readonly seconds: number
  readonly flops: number
  readonly bytes: number
}

/** Where the time of one step goes; all in seconds, medians. The parts and the ops add up to the step. */
export interface StepProfile {
  readonly step: number
  readonly numSteps: number
  readonly numBarriers: number
  /** Longest first. */
  readonly ops: readonly OpProfile[]
  readonly outside: {
    /** Laying out the inputs, recording the ops or rewriting the inputs of a captured step, reading the tokens. */
    readonly preparing: number
    /** Placing results in memory and finding barriers; nothing for a captured step. */
    readonly planning: number
    /** Encoding, the way into native code and back, waking the threads. */
    readonly crossing: number
    /** The barriers of the step, at the price of an op that does next to nothing. */
    readonly barriers: number
    /** What no measurement explains: noise, overlap of ops (below 0), threads that wait for each other. */
    readonly rest: number
  }
}

/** Recording is fast once it has been compiled: warm up until one of both is reached. */
const warmUp = { runs: 50, seconds: 2 }
/** A round of small steps is this many, within that time. */
const round = { runs: 10, seconds: 1 }

/**
 * Measures a step: as the engine runs it, and with the time of every op, in turns. `runStep` runs it once on the device,
 * as one program.
 */
export async function profileStep(
  device: Device,
  runStep: () => Promise<unknown>,
  rounds: number,
): Promise<StepProfile> {
  const wholes: Measured[] = []
  const passes: Measured[] = []
  await repeat(warmUp, () => measure(device, runStep, false))
  for (let i = 0; i < rounds; i++) {
    wholes.push(...(await repeat(round, () => measure(device, runStep, false))))
    passes.push(...(await repeat(round, () => measure(device, runStep, true))))
  }
  const { program } = passes[0]!
  const idle = await timeNothing(device)
  const kernels = program.steps.map((_, i) => Math.max(0, median(passes.map(({ steps }) => steps![i]!)) - idle))
  const numBarriers = program.barriers.filter(Boolean).length
  const step = median(wholes.map(({ whole }) => whole))
  const planning = median(wholes.map((one) => one.planning))
  const preparing = median(wholes.map(({ whole, planning, running }) => whole - planning - running))
  const crossing = median(passes.map(({ running, steps }) => Math.max(0, running - sum(steps!))))
  const barriers = numBarriers * idle
  const rest = step - preparing - planning - crossing - barriers - sum(kernels)
  return {
    step,
    numSteps: program.steps.length,
    numBarriers,
    ops: await groupOps(program, kernels),
    outside: { preparing, planning, crossing, barriers, rest },
  }
}

interface Measured extends ObservedRun {
  /** From before the step was recorded until its result was there. */
  readonly whole: number
}

async function measure(device: Device, runStep: () => Promise<unknown>, timesSteps: boolean): Promise<Measured> {
  const runs: ObservedRun[] = []
  device.observer = { timesSteps, onRun: (run) => runs.push(run) }
  try {
    const start = performance.now()
    await runStep()
    return { ...runs[0]!, whole: seconds(start) }
  } finally {
    device.observer = undefined
  }
}

/** What a step costs that has next to nothing to do: its barrier, and the noting of the time. */
async function timeNothing(device: Device): Promise<number> {
  const one = device.tensor([1], [1, 1], 'f32')
  const chain = async (): Promise<void> => {
    let sum = one
    for (let i = 0; i < 32; i++) sum = add(sum, one)
    await device.run([sum])
  }
  const passes = await repeat({ runs: 20, seconds: 1 }, () => measure(device, chain, true))
  return median(passes.map(({ steps }) => median([...steps!])))
}

async function groupOps(program: Program, kernels: readonly number[]): Promise<OpProfile[]> {
  const costs = await costsOf(program)
  const groups = new Map<string, OpProfile>()
  for (const [i, step] of program.steps.entries()) {
    const [op, shapes] = [step.op.name, shapesOf(step)]
    const key = `${op} ${shapes}`
    const group = groups.get(key) ?? { op, shapes, calls: 0, seconds: 0, flops: 0, bytes: 0 }
    const { flops, bytes } = costs[i]!
    groups.set(key, {
      ...group,
      calls: group.calls + 1,
      seconds: group.seconds + kernels[i]!,
      flops: group.flops + flops,
      bytes: group.bytes + bytes,
    })
  }
  return [...groups.values()].sort((a, b) => b.seconds - a.seconds)
}

function shapesOf({ op, inputs, outputs }: Step): string {
  const shape = (tensor: Tensor | undefined): string => tensor?.shape.join('x') ?? ''
  const weight = inputs.find((tensor) => tensor?.layout === 'panel')
  const from = [inputs[op.rowInputs[0] ?? 0], weight].filter(Boolean).map(shape).join(' by ')
  return outputs.length === 0 ? from : `${from} to ${outputs.map(shape).join(', ')}`
}

/** Results of an action done again and again, at least once, until one of the limits is reached. */
async function repeat<T>(limits: { runs: number; seconds: number }, action: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  const start = performance.now()
  do results.push(await action())
  while (results.length < limits.runs && seconds(start) < limits.seconds)
  return results
}

function seconds(start: number): number {
  return (performance.now() - start) / 1000
}

function sum(values: ArrayLike<number>): number {
  return Array.from(values).reduce((a, b) => a + b, 0)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
