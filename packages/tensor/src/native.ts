import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { getSystemErrorMap } from 'node:util'
import { SlipwayError } from './errors.ts'

/** A device's threads; only native code looks inside. */
export interface Engine {
  readonly engine: unique symbol
}

/** Instruction sets that the kernels are compiled for. */
export const isas = ['avx512', 'avx2', 'neon-dot', 'neon', 'baseline'] as const
export type Isa = (typeof isas)[number]

/** Why a run stopped: code (see `faults`), step, and the offending value. */
export type Failure = readonly [code: number, step: number, value: number]

/**
 * Everything that native/addon.cc offers. Nothing throws: `undefined` means that memory or threads are missing, or that
 * an argument is wrong.
 */
export interface Native {
  /** Compiled instruction sets, best first, and whether this processor has them. */
  targets(): readonly (readonly [isa: Isa, supported: boolean])[]
  /** Names of the ops that have kernels; the index is the op's code in the command buffer. */
  ops(): readonly string[]
  /** With `cores`, one per thread, threads stay on them, the calling one until `close`. */
  open(threads: number, target: number, cores?: Float64Array): Engine | undefined
  /** Joins the threads; the engine then refuses work. */
  close(engine: Engine): void
  /** With `seconds`, steps run one after another and each one's time is written there. */
  run(engine: Engine, words: Float64Array, count: number, seconds?: Float64Array): Failure | undefined
  addressOf(memory: ArrayBuffer | Uint8Array): number | undefined
  /** Zeroed memory in huge pages outside the heap, freed when collected. */
  allocate(bytes: number): ArrayBuffer | undefined
  /** Makes memory of `allocate` zero and gives its pages back to the system; its address stays good. */
  release(memory: ArrayBuffer): true | undefined
  pack(
    engine: Engine,
    parts: readonly Uint8Array[],
    rows: number,
    cols: number,
    elementBytes: number,
    panels: ArrayBuffer,
  ): true | undefined
  /**
   * Makes a weight [rows, cols] of parts of files, each four numbers: descriptor, offset, rows, dtype. Panels of `dtype`,
   * or with `bits` words and scales, go to zeroed memory at the addresses. A failure's step is the part.
   */
  loadWeight(
    engine: Engine,
    parts: Float64Array,
    rows: number,
    cols: number,
    dtype: number,
    bits: number,
    group: number,
    panels: number,
    scales: number,
  ): Failure | undefined
  /** Reads chunks, each three numbers: offset, address, length; they must have the checksums, 8 bytes each. */
  readChunks(engine: Engine, descriptor: number, chunks: Float64Array, checksums: Uint8Array): Failure | undefined
  /** Writes the 8 bytes of a checksum. */
  checksum(bytes: Uint8Array, into: Uint8Array): true | undefined
  /** Tells the system that a part of a file is needed soon. */
  readAhead(descriptor: number, offset: number, length: number): void
  /** GB/s of reading with all threads. */
  bandwidth(engine: Engine, bytes: number, seconds: number): number | undefined
  /** GFLOP/s of f32 multiply-adds with all threads, or GOP/s of int8 activations and weights of so many bits. */
  peak(engine: Engine, seconds: number, bits: 0 | 4 | 8): number | undefined
}

export type NativeResult =
  | { readonly native: Native; readonly reason?: never; readonly remedy?: never }
  | { readonly native?: never; readonly reason: string; readonly remedy: string }

const path = '../native/build/slipway.node'

/** Loads the addon at the first call (Node keeps it); tells why when it cannot. */
export function loadNative(): NativeResult {
  if (process.env['SLIPWAY_NATIVE'] === 'off')
    return { reason: 'SLIPWAY_NATIVE=off is set', remedy: 'unset SLIPWAY_NATIVE' }
  try {
    return { native: createRequire(import.meta.url)(path) as Native }
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND'
    const reason = missing ? 'the native kernels are not built' : `the native kernels do not load: ${String(error)}`
    return {
      reason,
      remedy: 'install a C++ compiler (apt install g++, or xcode-select --install) and run npm run build',
    }
  }
}

/** A hash of the kernels' machine code. */
export function nativeDigest(): string {
  const code = readFileSync(new URL(path, import.meta.url))
  return createHash('sha256').update(code).digest('hex')
}

/** The instruction set to use, as an index into `targets()`: the forced one (option or SLIPWAY_ISA), else the best. */
export function chooseTarget(native: Native, forced = process.env['SLIPWAY_ISA'] || undefined): number {
  const targets = native.targets()
  const usable = targets.filter(([, supported]) => supported).map(([isa]) => isa)
  const index = targets.findIndex(([isa, supported]) => supported && (forced === undefined || isa === forced))
  if (index >= 0) return index
  throw new SlipwayError(
    'device',
    forced === undefined
      ? 'this processor has none of the compiled instruction sets'
      : `instruction set ${forced} cannot be used here (SLIPWAY_ISA); this machine runs: ${usable.join(', ')}`,
  )
}

/** Texts of the codes in native/command.h and load.h. */
export const faults: Readonly<Record<number, (value: number) => string>> = {
  1: () => 'the command buffer is malformed or the device is closed',
  2: (value) => `index ${value} is out of range`,
  3: (value) => `no memory for ${value} bytes of scratch`,
  4: () => 'no kernel for these dtypes or layouts',
  6: (value) => `it cannot be read: ${(getSystemErrorMap().get(-value) ?? [`errno ${value}`])[0]}`,
}
