import { Device, type Backend } from '../device.ts'
import type { Cost } from '../op.ts'
import type { Program } from '../program.ts'
import type { Storage } from '../tensor.ts'
import { roundedShapes, rowsOf, type WeightLoader } from '../weights/weight-loader.ts'

/** What a program would cost. */
export interface Totals extends Cost {
  readonly steps: number
  readonly barriers: number
  readonly arenaBytes: number
}

/** Positions and block tables decide costs and are kept; weights are not. */
const rememberedBytes = 2 ** 20

/** Plans and counts, computes nothing: memory and work of a model without running it. */
class NullBackend implements Backend {
  readonly name = 'null'
  readonly kernels = 'null'
  totals: Totals = { steps: 0, barriers: 0, arenaBytes: 0, flops: 0, bytes: 0 }
  /** Bytes of weights, caches and inputs asked for so far. */
  residentBytes = 0
  readonly #written = new WeakMap<Storage, Uint8Array>()

  allocate(byteLength: number): Storage {
    this.residentBytes += byteLength
    return { byteLength }
  }

  write(storage: Storage, bytes: Uint8Array, byteOffset = 0): void {
    if (byteOffset === 0 && bytes.byteLength <= rememberedBytes) this.#written.set(storage, bytes.slice())
  }

  read(storage: Storage, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    const written = this.#written.get(storage) ?? new Uint8Array(byteOffset + byteLength)
    return Promise.resolve(written.slice(byteOffset, byteOffset + byteLength))
  }

  supports(): boolean {
    return true
  }

  run(program: Program): Promise<void> {
    this.totals = countProgram(program)
    return Promise.resolve()
  }

  /** Counts weights without a look at the files. */
  loader(device: Device): WeightLoader {
    return {
      floats: (parts, cols, dtype) => device.zeros([rowsOf(parts), cols], dtype),
      rounded: (parts, cols, rounding) => {
        const { words, scales } = roundedShapes(rowsOf(parts), cols, rounding)
        return { words: device.zeros(words, 'u32'), scales: device.zeros(scales, 'f16') }
      },
      lookedUp: () => {},
      load: () =>
        Promise.resolve({
          fromCache: false,
          residentBytes: this.residentBytes,
          cached: Promise.resolve(),
          release: () => Promise.resolve(),
        }),
    }
  }

  close(): void {}
}

/** Sums the declared costs of all steps. */
export function countProgram(program: Program): Totals {
  let flops = 0
  let bytes = 0
  for (const { op, inputs, outputs, attributes } of program.steps) {
    const cost = op.cost(inputs, outputs, attributes)
    flops += cost.flops
    bytes += cost.bytes
  }
  const barriers = program.barriers.filter(Boolean).length
  return { steps: program.steps.length, barriers, arenaBytes: program.arenaBytes, flops, bytes }
}

export function nullDevice(): { device: Device; counted: { readonly totals: Totals; readonly residentBytes: number } } {
  const backend = new NullBackend()
  return { device: new Device(backend), counted: backend }
}
