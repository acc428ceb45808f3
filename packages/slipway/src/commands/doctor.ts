import { release, totalmem } from 'node:os'
import { packedCacheDir } from '@slipway/checkpoint'
import { machineInfo, measureMachine, PackedCache, type MachineSpeed } from '@slipway/tensor'
import { Command } from 'commander'

/** Tells what the machine offers and what of it is used. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('show what this machine offers and which kernels are used')
    .action(async () => {
      for (const [name, value] of await report()) console.log(`${`${name}:`.padEnd(20)}${value}`)
    })
}

async function report(): Promise<[string, string][]> {
  const { processor, cores, cpu, compiledIsas, hugePages } = machineInfo()
  const gigabytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  const free = process.availableMemory?.()
  const facts: [string, string][] = [
    ['node', `${process.version} on ${process.platform} ${process.arch}, kernel ${release()}`],
    ['processor', `${processor}, ${cores} cores`],
    ['memory', gigabytes(totalmem()) + (free === undefined ? '' : `, ${gigabytes(free)} free`)],
    ['huge pages', describeHugePages(hugePages)],
    ['packed weights', await describePackedCache()],
  ]
  if (!cpu.available)
    return [...facts, ['kernels', `reference (TypeScript), because ${cpu.reason}`], ['remedy', cpu.remedy]]
  facts.push(['kernels', `${cpu.isa} (compiled: ${compiledIsas.join(', ')})`])
  const speed = measureMachine()
  if (speed)
    facts.push(
      ['memory bandwidth', `${speed.bandwidth.toFixed(1)} GB/s read by all threads`],
      ['f32 peak', `${speed.peak.toFixed(0)} GFLOP/s by all threads`],
      ['int8 peak', integerPeaks(speed.integerPeaks)],
    )
  return facts
}

function integerPeaks({ 4: int4, 8: int8 }: MachineSpeed['integerPeaks']): string {
  return `${int8.toFixed(0)} GOP/s by all threads, ${int4.toFixed(0)} with weights of 4 bits`
}

async function describePackedCache(): Promise<string> {
  const directory = packedCacheDir()
  const { files, bytes } = await new PackedCache({ directory, maxBytes: 0 }).usage()
  return `${directory}: ${files} files, ${(bytes / 2 ** 30).toFixed(1)} GiB; they may be removed at any time`
}

function describeHugePages(setting: string | undefined): string {
  if (setting === undefined) return 'not known on this system'
  const remedy = ', which costs bandwidth: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled as root'
  return setting + (setting === 'never' ? remedy : '')
}
