/** Helpers of the tests that are generated from the op table. */
import { bytesOfArray, Device } from './device.ts'
import { CpuBackend } from './devices/cpu.ts'
import { referenceDevice } from './devices/reference.ts'
import { bytesOf, fromNumbers, toF32, viewAs, type TypedArray } from './dtype.ts'
import { loadNative, type Isa } from './native.ts'
import type { Attributes, HostTensor, Op, OpCase, Tolerance } from './op.ts'
import { ops } from './ops/index.ts'
import { plan } from './program.ts'
import { colsOf, columns, rowsOf, sizeOf, Tensor, type Spec } from './tensor.ts'

/** Elements of each output, then of each input that the op writes in place. */
export type Results = readonly TypedArray[]

export function casesOfAllOps(): { op: Op; label: string; opCase: OpCase }[] {
  return ops.flatMap((op) => op.cases().map((opCase) => ({ op, label: `${op.name}: ${opCase.label}`, opCase })))
}

/** Instruction sets that this machine can run; empty where the native kernels are absent or switched off. */
export function testableIsas(): readonly Isa[] {
  const targets = loadNative().native?.targets() ?? []
  return targets.filter(([, supported]) => supported).map(([isa]) => isa)
}

export function cpuFor(isa: Isa, threads: number): { device: Device; backend: CpuBackend } {
  const backend = new CpuBackend(loadNative().native!, { isa, threads })
  return { device: new Device(backend), backend }
}

export function place(device: Device, { data, shape, dtype, role }: HostTensor): Tensor {
  const bytes = bytesOfArray(data)
  return role ? device.weight(role, [bytes], shape, dtype) : device.fromBytes(bytes, shape, dtype)
}

export async function runCase(device: Device, op: Op, { inputs, attributes }: OpCase): Promise<Results> {
  const placed = inputs.map((input) => input && place(device, input))
  const outputs = device.record(op, placed, attributes)
  await device.run(outputs)
  const written = updated(op, placed)
  return Promise.all([...outputs, ...written].map((tensor) => device.read(tensor)))
}

export function runReference(op: Op, opCase: OpCase): Promise<Results> {
  return runCase(referenceDevice(), op, opCase)
}

/** The inputs that the op writes. */
function updated<T>(op: Op, inputs: readonly (T | undefined)[]): T[] {
  return (op.updates ?? []).flatMap((i) => inputs[i] ?? [])
}

/** The case with row `row` alone in every row input. */
export function rowAlone(op: Op, opCase: OpCase, row: number): OpCase {
  const inputs = opCase.inputs.map((input, i) => {
    if (!input || !op.rowInputs.includes(i)) return input
    const width = input.data.length / input.shape[0]!
    return { ...input, shape: [1, ...input.shape.slice(1)], data: input.data.slice(row * width, (row + 1) * width) }
  })
  return { ...opCase, inputs }
}

/** Runs with every unpacked two-dimensional f32 input as columns of a wider tensor. */
export async function runStrided(device: Device, op: Op, { inputs, attributes }: OpCase): Promise<Results> {
  const bases = inputs.map((input) => {
    if (!input || input.role || input.dtype !== 'f32' || input.shape.length !== 2) return input && place(device, input)
    return place(device, { ...input, shape: [rowsOf(input), colsOf(input) + 7], data: widened(input) })
  })
  const placed = bases.map((base, i) => {
    const spec = inputs[i]
    if (!base || !spec || colsOf(base) === colsOf(spec)) return base
    return columns(base, 3, 3 + colsOf(spec))
  })
  const outputs = device.record(op, placed, attributes)
  await device.run(outputs)
  const written = updated(op, placed).map(async (tensor) => narrowed(await device.read(tensor.base), tensor))
  return Promise.all([...outputs.map((tensor) => device.read(tensor)), ...written])
}

function widened(input: HostTensor): TypedArray {
  const cols = colsOf(input)
  const wide = new Float32Array(rowsOf(input) * (cols + 7)).fill(NaN)
  for (let r = 0; r < rowsOf(input); r++) wide.set(input.data.subarray(r * cols, (r + 1) * cols), r * (cols + 7) + 3)
  return wide
}

function narrowed(data: TypedArray, view: Tensor): TypedArray {
  const cols = colsOf(view)
  const out = data.slice(0, sizeOf(view))
  for (let r = 0; r < rowsOf(view); r++) {
    const start = view.offset + r * view.rowStride
    out.set(data.subarray(start, start + cols), r * cols)
  }
  return out
}

const guard = 0xa5

/** Runs with outputs inside larger buffers of a fixed byte; tells whether anything outside the outputs changed. */
export async function runGuarded(
  { device, backend }: { device: Device; backend: CpuBackend },
  op: Op,
  { inputs, attributes }: OpCase,
): Promise<{ results: Results; intact: boolean }> {
  const placed = inputs.map((input) => input && place(device, input))
  const outputs = op.infer(placed, attributes).map((spec) => guardedOutput(device, backend, spec))
  await backend.run(plan([{ op, inputs: placed, outputs, attributes }]))
  let intact = true
  const results: TypedArray[] = []
  for (const output of outputs) {
    const bytes = await backend.read(output.base.storage!, 0, output.base.storage!.byteLength)
    const size = bytesOf(output.dtype)
    const rows: Uint8Array[] = []
    for (let r = 0; r < rowsOf(output); r++) {
      const start = (output.offset + r * output.rowStride) * size
      rows.push(bytes.slice(start, start + colsOf(output) * size))
      bytes.fill(guard, start, start + colsOf(output) * size)
    }
    intact &&= bytes.every((byte) => byte === guard)
    results.push(viewAs(output.dtype, new Uint8Array(Buffer.concat(rows)), sizeOf(output)))
  }
  return { results, intact }
}

function guardedOutput(device: Device, backend: CpuBackend, spec: Spec): Tensor {
  // one-dimensional outputs are one row, which cannot be strided
  const rowStride = spec.shape.length > 1 ? colsOf(spec) + 5 : colsOf(spec)
  const length = 3 + rowsOf(spec) * rowStride + 64
  const storage = backend.allocate(length * bytesOf(spec.dtype))
  backend.write(storage, new Uint8Array(storage.byteLength).fill(guard))
  const base = new Tensor(device, { shape: [length], dtype: spec.dtype }, { storage })
  return new Tensor(device, spec, { view: { base, offset: 3, rowStride } })
}

/** The first element outside the tolerance, in words; undefined when all fit. */
export function difference(op: Op, opCase: OpCase, actual: Results, expected: Results): string | undefined {
  const specs = resultSpecs(op, opCase.inputs, opCase.attributes)
  for (const [i, spec] of specs.entries()) {
    const exact = spec.dtype === 'i32' || spec.dtype === 'u32'
    // an op that rounds to int8 may come out one step away, unless its bits are defined
    const step = spec.dtype === 'i8' && op.tolerance.absolute > 0 ? { absolute: 1, relative: 0 } : undefined
    const tolerance = exact ? { absolute: 0, relative: 0 } : (step ?? op.tolerance)
    const [a, b] = [toF32(spec.dtype, actual[i]!), toF32(spec.dtype, expected[i]!)]
    if (a.length !== b.length) return `result ${i} has ${a.length} elements, expected ${b.length}`
    const at = a.findIndex((x, j) => !isNear(x, b[j]!, tolerance))
    if (at >= 0) return `result ${i}[${at}] is ${a[at]}, expected ${b[at]}`
  }
  return undefined
}

function resultSpecs(op: Op, inputs: OpCase['inputs'], attributes: Attributes): readonly Spec[] {
  return [...op.infer(inputs, attributes), ...updated(op, inputs)]
}

export function isNear(a: number, b: number, { absolute, relative }: Tolerance): boolean {
  return Object.is(a, b) || a === b || Math.abs(a - b) <= absolute + relative * Math.abs(b)
}

export function equalBits(a: Results, b: Results): boolean {
  return a.length === b.length && a.every((x, i) => Buffer.compare(bytesOfArray(x), bytesOfArray(b[i]!)) === 0)
}

export function hostTensor(values: ArrayLike<number>, shape: readonly number[], dtype: Spec['dtype']): HostTensor {
  return { shape, dtype, data: fromNumbers(dtype, values) }
}
