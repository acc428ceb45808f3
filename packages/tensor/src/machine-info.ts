import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { cpuAvailable, type CpuAvailability } from './devices/cpu.ts'
import { chooseTarget, loadNative, type Isa } from './native.ts'
import { usableCores } from './usable-cores.ts'

export interface MachineInfo {
  readonly processor: string
  readonly cores: number
  readonly cpu: CpuAvailability
  /** Instruction sets in the addon, whether or not this processor has them. */
  readonly compiledIsas: readonly Isa[]
  /** Linux's setting of transparent huge pages: always, madvise or never. `never` costs memory bandwidth. */
  readonly hugePages: string | undefined
}

/** What decides the speed of the cpu device, for `slipway doctor`. */
export function machineInfo(): MachineInfo {
  const { native } = loadNative()
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: usableCores(),
    cpu: cpuAvailable(),
    compiledIsas: native?.targets().map(([isa]) => isa) ?? [],
    hugePages: hugePages(),
  }
}

function hugePages(): string | undefined {
  try {
    return /\[(\w+)\]/.exec(readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

export interface MachineSpeed {
  /** GB/s of reading 256 MiB with all threads: the median of many passes. */
  readonly bandwidth: number
  /** GFLOP/s of f32 multiply-adds with all threads, at best. */
  readonly peak: number
  /** GOP/s of products of int8 activations with weights of 4 and 8 bits, made as this instruction set makes them. */
  readonly integerPeaks: { readonly 4: number; readonly 8: number }
}

/** Measures for about 0.5 s; undefined where the native kernels are absent. */
export function measureMachine(threads = usableCores(), isa?: Isa): MachineSpeed | undefined {
  const { native } = loadNative()
  const engine = native?.open(threads, chooseTarget(native, isa))
  if (!native || !engine) return undefined
  const bandwidth = native.bandwidth(engine, 2 ** 28, 0.3) ?? 0
  const peak = (bits: 0 | 4 | 8): number => native.peak(engine, 0.07, bits) ?? 0
  const speed = { bandwidth, peak: peak(0), integerPeaks: { 4: peak(4), 8: peak(8) } }
  native.close(engine)
  return speed
}
