import { readFileSync } from 'node:fs'
import { release, totalmem } from 'node:os'
import { packedCacheDir } from '@slipway/checkpoint'
import { machineInfo, PackedCache } from '@slipway/tensor'
import { otherVariables, type Environment } from './config/resolve.ts'
import { serveConfigSchema } from './config/schema.ts'
import { settingsOf } from './config/settings.ts'

// What `doctor` and `collect-env` tell of a machine.

/** Facts by their names, in the order in which they are shown. */
export type Facts = readonly (readonly [name: string, value: string])[]

/** What the machine offers. */
export async function machineFacts(): Promise<Facts> {
  const { processor, cores, hugePages } = machineInfo()
  const free = process.availableMemory?.()
  return [
    ['node', `${process.version} on ${process.platform} ${process.arch}, kernel ${release()}`],
    ['processor', `${processor}, ${cores} cores`],
    ['memory', gigabytes(totalmem()) + (free === undefined ? '' : `, ${gigabytes(free)} free`)],
    ['huge pages', describeHugePages(hugePages)],
    ['packed weights', await describePackedCache()],
  ]
}

/** Which kernels are used, or why none and what to do. */
export function kernelFacts(): Facts {
  const { cpu, compiledIsas } = machineInfo()
  if (!cpu.available)
    return [
      ['kernels', `reference (TypeScript), because ${cpu.reason}`],
      ['remedy', cpu.remedy],
    ]
  return [['kernels', `${cpu.isa} (compiled: ${compiledIsas.join(', ')})`]]
}

/** What the system allows this process. */
export function limitFacts(): Facts {
  const limits = readText('/proc/self/limits') ?? ''
  const limit = (name: string): string | undefined => new RegExp(`^${name} +(\\S+)`, 'm').exec(limits)?.[1]
  const facts = [
    ['open files', limit('Max open files')],
    ['locked memory', limit('Max locked memory')],
    ['address space', limit('Max address space')],
    ['memory of group', readText('/sys/fs/cgroup/memory.max')?.trim()],
    ['processors of group', readText('/sys/fs/cgroup/cpu.max')?.trim()],
  ] as const
  return facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}

const foreignVariables =
  /^(HF_\w+|HUGGINGFACE_\w+|OPENAI_\w+|OTEL_\w+|https?_proxy|no_proxy|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|UV_THREADPOOL_SIZE)$/i

const mask = '***'

/** Variables that change what the program does, as they are written; secrets are masked, and so is what nobody knows. */
export function environmentFacts(environment: Environment): Facts {
  const settings = new Map(settingsOf(serveConfigSchema).map((setting) => [setting.variable, setting]))
  return Object.keys(environment)
    .toSorted()
    .flatMap((name) => {
      const value = environment[name]
      if (value === undefined || (!name.startsWith('SLIPWAY_') && !foreignVariables.test(name))) return []
      const setting = settings.get(name)
      if (setting) return [[name, setting.isSecret ? mask : withoutPassword(value)] as const]
      if (otherVariables.has(name)) return [[name, value] as const]
      // it may be the key of a name that is misspelt
      if (name.startsWith('SLIPWAY_')) return [[name, `${mask} (not a setting)`] as const]
      return [[name, /TOKEN|KEY|SECRET|PASSWORD|HEADERS/i.test(name) ? mask : withoutPassword(value)] as const]
    })
}

function withoutPassword(value: string): string {
  return value.replace(/\/\/[^/@\s]+@/g, `//${mask}@`)
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`
}

async function describePackedCache(): Promise<string> {
  const directory = packedCacheDir()
  const { files, bytes } = await new PackedCache({ directory, maxBytes: 0 }).usage()
  return `${directory}: ${files} files, ${gigabytes(bytes)}; they may be removed at any time`
}

function describeHugePages(setting: string | undefined): string {
  if (setting === undefined) return 'not known on this system'
  const remedy = ', which costs bandwidth: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled as root'
  return setting + (setting === 'never' ? remedy : '')
}
