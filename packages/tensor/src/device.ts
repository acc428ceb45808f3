import { encoder, fromNumbers, viewAs, type DType, type TypedArray } from './dtype.ts'
import { SlipwayError } from './errors.ts'
import type { Attributes, Op, WeightRole } from './op.ts'
import { plan, type Program, type Step } from './program.ts'
import { byteLengthOf, sizeOf, Tensor, type Layout, type Spec, type Storage } from './tensor.ts'
import { DirectLoader, type OnLoaded, type WeightLoader } from './weights/weight-loader.ts'

/**
 * What a device must do; everything else (recording, planning, shapes) is done once in `Device`.
 *
 * - Memory is untyped. `allocate` gives zeroed bytes, aligned for every dtype; it is freed when no longer referenced.
 * - `write` and `read` copy; a read sees everything that earlier runs wrote.
 * - `elements` shows the elements of a storage, always of one dtype, where the host can write them in place; absent, it cannot.
 * - `run` executes the steps as if one after another and resolves when the results are in memory. It may overlap steps
 *   between two barriers, but not when `seconds` asks for the time of each. On failure it rejects and the contents of outputs are undefined; the device stays usable.
 * - `keep` says that the program will be run again and again, so that what prepares it is worth keeping.
 * - `release` makes allocated memory zero, and gives it back to the system until it is written again; absent, memory stays
 *   taken. `trim` does so with the memory of intermediate results.
 * - `supports` tells whether `run` accepts the op; a step with an unsupported op never reaches `run`.
 * - `loader` may take weights out of files in a way of its own; absent, `DirectLoader` does it.
 * - `pack` may store a weight in a layout of its own; absent, weights are stored by rows. `unpack` gives the elements of
 *   a tensor in such a layout by rows again, where that can be.
 * - `kernels` changes whenever results may have other bits than before: with the code and the instruction set.
 * - `cacheLayout` is the layout in which an empty cache may be allocated, of no more bytes than by rows.
 */
export interface Backend {
  readonly name: string
  readonly kernels: string
  allocate(byteLength: number): Storage
  write(storage: Storage, bytes: Uint8Array, byteOffset?: number): void
  elements?(storage: Storage, dtype: DType): TypedArray
  read(storage: Storage, byteOffset: number, byteLength: number): Promise<Uint8Array>
  release?(storage: Storage): void
  trim?(): void
  run(program: Program, seconds?: Float64Array): Promise<void>
  keep?(program: Program): void
  supports(op: Op): boolean
  pack?(role: WeightRole, parts: readonly Uint8Array[], spec: Spec): { storage: Storage; layout: Layout } | undefined
  loader?(device: Device, onLoaded: OnLoaded): WeightLoader
  unpack?(layout: Layout, bytes: Uint8Array, spec: Spec): Uint8Array | undefined
  cacheLayout?(role: WeightRole, spec: Spec): Layout
  close(): void
}

/** One run, as an observer is told of it. Times are in seconds. */
export interface ObservedRun {
  readonly program: Program
  /** 0 for a program that had been captured. */
  readonly planning: number
  /** The backend's part: encoding and computing. */
  readonly running: number
  /** Time of every step, when the observer asked for it. */
  readonly steps: Float64Array | undefined
}

export interface RunObserver {
  /** Asks for the time of every step, which then run one after another. */
  readonly timesSteps: boolean
  onRun(run: ObservedRun): void
}

/** Records ops and hands them to a backend as one program. Not shared between threads. */
export class Device {
  readonly #backend: Backend
  #steps: Step[] = []
  /** While set, told of every run. */
  observer: RunObserver | undefined

  constructor(backend: Backend) {
    this.#backend = backend
  }

  get name(): string {
    return this.#backend.name
  }

  /** Names the code that computes: results kept from another process have the same bits only if it had the same name. */
  get kernels(): string {
    return this.#backend.kernels
  }

  /** A resident tensor holding `values` (numbers are rounded to `dtype`). */
  tensor(values: ArrayLike<number> | TypedArray, shape: readonly number[], dtype: DType): Tensor {
    const data = fromNumbers(dtype, values)
    return this.#resident(bytesOfArray(data), { shape, dtype })
  }

  /** A resident tensor over already encoded elements. */
  fromBytes(bytes: Uint8Array, shape: readonly number[], dtype: DType): Tensor {
    return this.#resident(bytes, { shape, dtype })
  }

  #resident(bytes: Uint8Array, spec: Spec): Tensor {
    if (bytes.byteLength !== byteLengthOf(spec))
      throw new SlipwayError('internal', `${bytes.byteLength} bytes given for a ${spec.dtype} tensor [${spec.shape}]`)
    const storage = this.#backend.allocate(bytes.byteLength)
    this.#backend.write(storage, bytes)
    return new Tensor(this, spec, { storage })
  }

  /** A resident tensor of zeros. */
  zeros(shape: readonly number[], dtype: DType): Tensor {
    const spec = { shape, dtype }
    return new Tensor(this, spec, { storage: this.#backend.allocate(byteLengthOf(spec)) })
  }

  /** A cache of zeros, laid out as the device likes it for `role`. */
  cache(role: WeightRole, shape: readonly number[], dtype: DType): Tensor {
    const spec = { shape, dtype }
    const layout = this.#backend.cacheLayout?.(role, spec) ?? 'row'
    return new Tensor(this, spec, { storage: this.#backend.allocate(byteLengthOf(spec)), layout })
  }

  /** A weight [N, K] whose rows are those of `parts` one after another, packed as the device likes it for `role`. */
  weight(role: WeightRole, parts: readonly Uint8Array[], shape: readonly number[], dtype: DType): Tensor {
    const spec = { shape, dtype }
    const given = parts.reduce((sum, part) => sum + part.byteLength, 0)
    if (given !== byteLengthOf(spec))
      throw new SlipwayError('internal', `${given} bytes given for a ${dtype} weight [${shape}]`)
    const packed = this.#backend.pack?.(role, parts, spec)
    if (packed) return new Tensor(this, spec, packed)
    return this.#resident(parts.length === 1 ? parts[0]! : concatBytes(parts), spec)
  }

  /** Takes weights out of files; `onLoaded` is told how many of their bytes are done. */
  weightLoader(onLoaded: OnLoaded = () => {}): WeightLoader {
    return this.#backend.loader?.(this, onLoaded) ?? new DirectLoader(this, onLoaded)
  }

  /** Records one op; shapes are checked now, values are computed by the next `run`. */
  record(op: Op, inputs: readonly (Tensor | undefined)[], attributes: Attributes): readonly Tensor[] {
    if (!this.#backend.supports(op))
      throw new SlipwayError('unsupported', `device ${this.name} has no op ${op.name}`, { op: op.name })
    const foreign = inputs.find((tensor) => tensor && tensor.device !== this)
    if (foreign) throw new SlipwayError('internal', `${op.name}: an input lives on ${foreign.device.name}`)
    const outputs = op.infer(inputs, attributes).map((spec) => new Tensor(this, spec))
    this.#steps.push({ op, inputs, outputs, attributes })
    return outputs
  }

  /** Runs everything recorded since the last run. `outputs` stay readable; all other results are gone afterwards. */
  async run(outputs: readonly Tensor[]): Promise<Program> {
    const start = performance.now()
    const program = this.#take(outputs)
    await this.#execute(program, secondsSince(start))
    return program
  }

  async #execute(program: Program, planning: number): Promise<void> {
    const { observer } = this
    if (!observer) return this.#backend.run(program)
    const steps = observer.timesSteps ? new Float64Array(program.steps.length) : undefined
    const start = performance.now()
    await this.#backend.run(program, steps)
    observer.onRun({ program, planning, running: secondsSince(start), steps })
  }

  /**
   * Plans everything recorded since the last run for `replay`. Its results stay in the same memory, and its inputs may
   * be rewritten by `write`, so a step that repeats is recorded once.
   */
  capture(outputs: readonly Tensor[]): Program {
    const program = this.#take(outputs)
    this.#backend.keep?.(program)
    return program
  }

  /** Runs a captured program. What was recorded meanwhile stays for the next `run`. */
  replay(program: Program): Promise<void> {
    return this.#execute(program, 0)
  }

  /** Overwrites the elements of a resident tensor (numbers are rounded to its dtype). */
  write(tensor: Tensor, values: ArrayLike<number> | TypedArray): void {
    const { storage, dtype, layout, base } = tensor
    if (!storage || base !== tensor || layout !== 'row' || values.length !== sizeOf(tensor))
      throw new SlipwayError('internal', `${values.length} values for a ${dtype} tensor [${tensor.shape}]`)
    const elements = encoder(dtype) ? undefined : this.#backend.elements?.(storage, dtype)
    if (elements) elements.set(values)
    else this.#backend.write(storage, bytesOfArray(fromNumbers(dtype, values)))
  }

  #take(outputs: readonly Tensor[]): Program {
    const steps = this.#steps
    this.#steps = []
    for (const { base } of outputs) base.storage ??= this.#backend.allocate(byteLengthOf(base))
    return plan(steps)
  }

  /** Forgets what was recorded, after an error between `record` and `run`. */
  discard(): void {
    this.#steps = []
  }

  /** The elements of a resident tensor, copied. */
  async read(tensor: Tensor): Promise<TypedArray> {
    const { storage, layout } = tensor
    const stored =
      storage && tensor.base === tensor ? await this.#backend.read(storage, 0, byteLengthOf(tensor)) : undefined
    const bytes = stored && layout !== 'row' ? this.#backend.unpack?.(layout, stored, tensor) : stored
    if (!bytes) throw new SlipwayError('internal', 'only whole tensors that a run has kept can be read')
    return viewAs(tensor.dtype, bytes, sizeOf(tensor))
  }

  /** Bytes of one of the parts into which a resident tensor falls along its first dimension. */
  sliceBytes(tensor: Tensor): number {
    return byteLengthOf(tensor) / tensor.shape[0]!
  }

  /**
   * The stored bytes of a part of a resident tensor, copied as they are at the time of the call; in the device's own
   * layout, so for this device only. For tensors whose layout keeps each part together, as caches do.
   */
  readSlice(tensor: Tensor, index: number): Promise<Uint8Array> {
    const length = this.sliceBytes(tensor)
    return this.#backend.read(this.#sliced(tensor, index), index * length, length)
  }

  /** Overwrites a part with what `readSlice` gave. */
  writeSlice(tensor: Tensor, index: number, bytes: Uint8Array): void {
    const length = this.sliceBytes(tensor)
    if (bytes.byteLength !== length)
      throw new SlipwayError('internal', `${bytes.byteLength} bytes for a slice of ${length}`)
    this.#backend.write(this.#sliced(tensor, index), bytes, index * length)
  }

  /**
   * Gives the memory of a resident tensor back to the system where the device can. The tensor stays, in the same place;
   * its elements are zeros if memory was given back, and what they were if not.
   */
  release({ storage }: Tensor): void {
    if (storage) this.#backend.release?.(storage)
  }

  /** Gives the memory of intermediate results back, until the next run needs it. */
  trim(): void {
    this.#backend.trim?.()
  }

  #sliced({ storage, shape }: Tensor, index: number): Storage {
    if (!storage || index < 0 || index >= shape[0]!)
      throw new SlipwayError('internal', `slice ${index} of a tensor [${shape}] that is not there`)
    return storage
  }

  close(): void {
    this.#backend.close()
  }
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}

export function bytesOfArray(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
