/**
 * Times ops of realistic shapes on the cpu device: node packages/tensor/dist/bench.js [op] [threads]
 * Weights are copied until they exceed the caches, as the layers of a model do. Best of several runs.
 */
import { availableParallelism } from 'node:os'
import { pathToFileURL } from 'node:url'
import { bytesOfArray, Device, type Backend } from './device.ts'
import { cpuAvailable, CpuBackend } from './devices/cpu.ts'
import { bytesOf, fromNumbers } from './dtype.ts'
import { machineInfo, measureMachine, type MachineSpeed } from './machine-info.ts'
import { loadNative } from './native.ts'
import { quantizedLinearOp } from './ops/quantized-linear.ts'
import { plan, type Program } from './program.ts'
import { sizeOf, Tensor } from './tensor.ts'
import { coldBytes, type BenchCase, type BenchInput } from './bench-case.ts'
import { benchCases } from './bench-cases.ts'

/** Seconds that one op takes, without planning. */
export async function timeCase(
  backend: Backend,
  { op, inputs, attributes, sets: given }: BenchCase,
  seconds: number,
): Promise<number> {
  const device = new Device(backend)
  const weight = inputs.find((input) => input?.role)
  const copies = given ?? copiesOf(weight)
  const once = inputs.map((input) => (given && input?.role ? place(device, input) : undefined))
  const sets = Array.from({ length: copies }, (_, set) =>
    inputs.map((input, i) => input && (once[i] ?? place(device, input, set))),
  )
  const programOf = (repeats: number): Program => {
    const all = Array.from({ length: repeats }, () => sets).flat()
    const outputs = (): Tensor[] => op.infer(inputs, attributes).map((spec) => new Tensor(device, spec))
    return plan(all.map((set) => ({ op, inputs: set, outputs: outputs(), attributes })))
  }
  const time = async (program: Program): Promise<number> => {
    const start = performance.now()
    await backend.run(program)
    return (performance.now() - start) / 1000 / program.steps.length
  }
  await time(programOf(1))
  // about 2 ms per run, so that entering native code does not count
  const program = programOf(Math.max(1, Math.ceil(0.002 / (await time(programOf(1))) / copies)))
  let best = Infinity
  for (const end = performance.now() + seconds * 1000; performance.now() < end;)
    best = Math.min(best, await time(program))
  return best
}

function copiesOf(weight: BenchInput | undefined): number {
  return weight ? Math.min(32, Math.ceil(coldBytes / (sizeOf(weight) * bytesOf(weight.dtype)))) : 1
}

function place(device: Device, { shape, dtype, value, role }: BenchInput, set = 0): Tensor {
  if (!value) return role ? device.cache(role, shape, dtype) : device.zeros(shape, dtype)
  const size = sizeOf({ shape, dtype })
  // a pattern repeated; the last stretch of one megabyte is as good as the first
  const pattern = fromNumbers(
    dtype,
    Float64Array.from({ length: Math.min(size, 2 ** 18 + 1) }, (_, i) => value?.(i, set) ?? 0),
  )
  const data = bytesOfArray(pattern)
  const bytes = new Uint8Array(size * bytesOf(dtype))
  for (let at = 0; at < bytes.length; at += data.length) bytes.set(data.subarray(0, bytes.length - at), at)
  return role ? device.weight(role, [bytes], shape, dtype) : device.fromBytes(bytes, shape, dtype)
}

function knownValues(input: BenchInput | undefined): readonly number[] | undefined {
  const value = input?.dtype === 'i32' ? input.value : undefined
  return value && Array.from({ length: sizeOf(input!) }, (_, i) => value(i, 0))
}

/** What bounds the arithmetic of a case: products of integers have a limit of their own. */
function peakOf({ op, attributes }: BenchCase, { peak, integerPeaks }: MachineSpeed): number {
  if (op !== quantizedLinearOp) return peak
  return attributes['bits'] === 4 ? integerPeaks[4] : integerPeaks[8]
}

async function report(backend: Backend, one: BenchCase, speed: MachineSpeed): Promise<void> {
  const seconds = await timeCase(backend, one, 0.3)
  const outputs = one.op.infer(one.inputs, one.attributes)
  const { flops, bytes } = one.op.cost(one.inputs, outputs, one.attributes, one.inputs.map(knownValues))
  const [gflops, gbs] = [flops / seconds / 1e9, bytes / seconds / 1e9]
  const columns = [
    `${one.op.name} ${one.label}`.padEnd(58),
    (seconds * 1e6).toFixed(1).padStart(10),
    gflops.toFixed(1).padStart(9),
    ((100 * gflops) / peakOf(one, speed)).toFixed(0).padStart(7),
    gbs.toFixed(1).padStart(7),
    ((100 * gbs) / speed.bandwidth).toFixed(0).padStart(7),
  ]
  console.log(columns.join(' '))
}

async function main(only: string | undefined, threads: number): Promise<void> {
  const available = cpuAvailable()
  if (!available.available) {
    console.log(`Nothing to time: ${available.reason}; ${available.remedy}`)
    return
  }
  const speed = measureMachine(threads)!
  const { processor } = machineInfo()
  const [reads, peak] = [speed.bandwidth.toFixed(1), speed.peak.toFixed(0)]
  const { 4: int4, 8: int8 } = speed.integerPeaks
  console.log(
    `${processor}, ${available.isa}, ${threads} threads: reads ${reads} GB/s, f32 peak ${peak} GFLOP/s, ` +
      `int8 peak ${int8.toFixed(0)} GOP/s (${int4.toFixed(0)} with weights of 4 bits)`,
  )
  console.log('op'.padEnd(58), '        us   GFLOP/s  % peak    GB/s  % read')
  const backend = new CpuBackend(loadNative().native!, { threads })
  for (const one of benchCases()) if (!only || one.op.name === only) await report(backend, one, speed)
  backend.close()
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  void main(process.argv[2], Number(process.argv[3] ?? availableParallelism()))
