import { bytesOfArray, concatBytes, Device, type Backend } from '../device.ts'
import { bytesOf, viewAs, type DType, type TypedArray } from '../dtype.ts'
import { SlipwayError } from '../errors.ts'
import { chooseTarget, faults, loadNative, nativeDigest, type Engine, type Isa, type Native } from '../native.ts'
import type { Op, WeightRole } from '../op.ts'
import { coresToPin } from '../pin-threads.ts'
import type { Program } from '../program.ts'
import { byteLengthOf, colsOf, sizeOf, type Layout, type Spec, type Storage } from '../tensor.ts'
import { version } from '../version.ts'
import { usableCores } from '../usable-cores.ts'
import { NativeLoader, packedBytes, type Memory } from '../weights/native-loader.ts'
import type { OnLoaded } from '../weights/weight-loader.ts'
import { CommandBuffer } from './command-buffer.ts'
import { referenceDevice } from './reference.ts'

export interface CpuOptions {
  /** Threads that compute, the calling one included; all available cores by default. */
  readonly threads?: number
  /**
   * Keeps every thread on a core of its own, the calling one until the device is closed: steadier on a machine that
   * does nothing else, slower beside other work. Threads that the calling one starts meanwhile inherit its core. Linux only.
   */
  readonly pinThreads?: boolean
  /** Forces an instruction set, as SLIPWAY_ISA does. */
  readonly isa?: Isa
}

/** From here on memory comes in huge pages of its own instead of from the heap. */
const hugeBytes = 2 ** 20
/** Slots of a key tile, which holds a cache as [slots / 16][columns][16] (native/command.h). */
const tileSlots = 16

/** Runs programs with the C++ kernels: one native call per run, on the calling thread and its helpers. */
export class CpuBackend implements Backend {
  readonly name: string
  readonly #isa: Isa
  readonly #native: Native
  readonly #engine: Engine
  readonly #commands: CommandBuffer
  /** Programs that will be run again, with their commands once they are encoded for an arena. */
  readonly #kept = new WeakMap<Program, { words: CommandBuffer['words']; arena: Memory } | null>()
  /** Storage of inputs that are written again and again, each of one dtype. */
  readonly #elements = new WeakMap<Storage, TypedArray>()
  #arena: Memory | undefined
  #closed = false

  constructor(native: Native, { threads = usableCores(), pinThreads = false, isa }: CpuOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1 || threads > 1024)
      throw new SlipwayError('request', `threads is ${threads}; give a whole number from 1 to 1024`, { threads })
    const target = chooseTarget(native, isa)
    const cores = pinThreads ? coresToPin(threads) : undefined
    const engine = native.open(threads, target, cores && Float64Array.from(cores))
    const pinned = cores ? ` and pinned to cores ${cores.join(', ')}; leave pinThreads out` : ''
    if (!engine) throw new SlipwayError('device', `${threads} threads cannot be started${pinned}`, { threads })
    this.#isa = native.targets()[target]![0]
    this.name = `cpu (${this.#isa}, ${threads} threads${cores ? ', pinned' : ''})`
    this.#commands = new CommandBuffer(native.ops())
    this.#native = native
    this.#engine = engine
  }

  get kernels(): string {
    return `${this.#isa} ${nativeDigest()} ${version}`
  }

  allocate(byteLength: number): Memory {
    // a kernel may be given a tensor without elements, but never a null address
    const buffer = byteLength < hugeBytes ? new ArrayBuffer(Math.max(byteLength, 8)) : this.#native.allocate(byteLength)
    const address = buffer && this.#native.addressOf(buffer)
    if (!buffer || !address)
      throw new SlipwayError('device', `no memory for ${byteLength} bytes; free some or choose a smaller size`)
    return { byteLength, buffer, byteOffset: 0, address }
  }

  write(storage: Storage, bytes: Uint8Array, byteOffset = 0): void {
    const { buffer, byteOffset: start } = storage as Memory
    new Uint8Array(buffer, start + byteOffset, bytes.byteLength).set(bytes)
  }

  elements(storage: Storage, dtype: DType): TypedArray {
    let elements = this.#elements.get(storage)
    if (!elements) {
      const { buffer, byteOffset, byteLength } = storage as Memory
      elements = viewAs(dtype, new Uint8Array(buffer, byteOffset, byteLength), byteLength / bytesOf(dtype))
      this.#elements.set(storage, elements)
    }
    return elements
  }

  read(storage: Storage, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    const { buffer, byteOffset: start } = storage as Memory
    return Promise.resolve(new Uint8Array(buffer, start + byteOffset, byteLength).slice())
  }

  release({ buffer, byteOffset }: Memory): void {
    // smaller ones lie in the heap
    if (byteOffset === 0 && buffer.byteLength >= hugeBytes) this.#native.release(buffer)
  }

  trim(): void {
    if (this.#arena) this.release(this.#arena)
  }

  supports(op: Op): boolean {
    return this.#commands.has(op)
  }

  keep(program: Program): void {
    this.#kept.set(program, null)
  }

  run(program: Program, seconds?: Float64Array): Promise<void> {
    // as a promise's body, so that whatever is thrown rejects
    return new Promise((resolve) => {
      this.#run(program, seconds)
      resolve()
    })
  }

  #run(program: Program, seconds: Float64Array | undefined): void {
    if (this.#closed) throw new SlipwayError('device', 'the cpu device is closed')
    if (!this.#arena || this.#arena.byteLength < program.arenaBytes) {
      this.#arena = undefined
      this.#arena = this.allocate(Math.ceil(program.arenaBytes * 1.25))
    }
    const { words, length } = this.#encoded(program, this.#arena)
    const failure = this.#native.run(this.#engine, words, length, seconds)
    if (!failure) return
    const [code, step, value] = failure
    const op = program.steps[step]?.op.name ?? 'program'
    const text = faults[code]?.(value) ?? `fault ${code}`
    throw new SlipwayError(code === 3 ? 'device' : 'internal', `${op}: ${text}`, { op, step, value })
  }

  #encoded(program: Program, arena: Memory): Pick<CommandBuffer, 'words' | 'length'> {
    const kept = this.#kept.get(program)
    if (kept?.arena === arena) return { words: kept.words, length: kept.words.length }
    this.#commands.encode(program, (base) => {
      const memory = base.storage as Memory | undefined
      return memory ? memory.address : arena.address + program.placement.get(base)!
    })
    if (kept !== undefined) {
      const words = this.#commands.words.slice(0, this.#commands.length)
      this.#kept.set(program, { words, arena })
    }
    return this.#commands
  }

  cacheLayout(role: WeightRole, { shape }: Spec): Layout {
    return role === 'keys' && shape.length === 3 && shape[1]! % tileSlots === 0 ? 'keyTiles' : 'row'
  }

  unpack(layout: Layout, bytes: Uint8Array, spec: Spec): Uint8Array | undefined {
    return layout === 'keyTiles' ? transposeTiles(bytes, tileSlots, spec) : undefined
  }

  pack(role: WeightRole, parts: readonly Uint8Array[], spec: Spec): { storage: Memory; layout: Layout } | undefined {
    if (this.cacheLayout(role, spec) === 'keyTiles') {
      const storage = this.allocate(byteLengthOf(spec))
      const columns = colsOf(spec)
      this.write(storage, transposeTiles(concatBytes(parts), columns, spec))
      return { storage, layout: 'keyTiles' }
    }
    const [rows, cols] = spec.shape
    if (role !== 'linear' || spec.shape.length !== 2 || !rows || !cols) return undefined
    const storage = this.allocate(packedBytes(spec))
    const done = this.#native.pack(this.#engine, parts, rows, cols, bytesOf(spec.dtype), storage.buffer)
    if (!done) throw new SlipwayError('internal', `the parts of a weight [${spec.shape}] are not whole rows`)
    return { storage, layout: 'panel' }
  }

  loader(device: Device, onLoaded: OnLoaded): NativeLoader {
    const allocate = (bytes: number): Memory => this.allocate(bytes)
    const release = (memory: Memory): void => this.release(memory)
    return new NativeLoader({ native: this.#native, engine: this.#engine, allocate, release }, device, onLoaded)
  }

  close(): void {
    this.#closed = true
    this.#arena = undefined
    this.#native.close(this.#engine)
  }
}

/** Key tiles by rows again, or with `step` = columns the other way: element (i, j) of a tile lies at j * step + i. */
function transposeTiles(bytes: Uint8Array, step: number, spec: Spec): Uint8Array {
  const from = viewAs(spec.dtype, bytes, sizeOf(spec))
  const out = from.slice()
  const tile = tileSlots * colsOf(spec)
  const height = tile / step
  for (let start = 0; start < out.length; start += tile)
    for (let i = 0; i < step; i++)
      for (let j = 0; j < height; j++) out[start + i * height + j] = from[start + j * step + i]!
  return bytesOfArray(out)
}

export function cpuDevice(options: CpuOptions = {}): Device {
  const { native, reason, remedy } = loadNative()
  if (!native) throw new SlipwayError('device', `the cpu device is not available: ${reason}; ${remedy}`)
  return new Device(new CpuBackend(native, options))
}

export type CpuAvailability =
  | { readonly available: true; readonly isa: Isa; readonly isas: readonly Isa[] }
  | { readonly available: false; readonly reason: string; readonly remedy: string }

/** Whether `cpuDevice` would work, with the chosen instruction set and all that this machine can run. */
export function cpuAvailable(): CpuAvailability {
  const { native, reason, remedy } = loadNative()
  if (!native) return { available: false, reason, remedy }
  const targets = native.targets()
  try {
    const isa = targets[chooseTarget(native)]![0]
    return { available: true, isa, isas: targets.filter(([, supported]) => supported).map(([name]) => name) }
  } catch (error) {
    return { available: false, reason: (error as Error).message, remedy: 'unset SLIPWAY_ISA' }
  }
}

/** The cpu device, or the reference device where the native kernels are absent. */
export function defaultDevice(options: Pick<CpuOptions, 'threads' | 'pinThreads'> = {}): Device {
  // an unusable SLIPWAY_ISA is an error, not a reason to be slow
  if (loadNative().native) return cpuDevice(options)
  if (options.pinThreads)
    throw new SlipwayError('request', 'option pinThreads: the reference device has no threads to pin; leave it out')
  return referenceDevice()
}
