import { SlipwayError } from './errors.ts'
import { readSystemFile, type ReadSystemFile } from './system-file.ts'

/**
 * A core for each thread, the calling thread first: of those that this thread may use, one of every physical core
 * before the second of any, since two threads on one core share its units.
 */
export function coresToPin(
  threads: number,
  platform: string = process.platform,
  read: ReadSystemFile = readSystemFile,
): number[] {
  const allowed =
    platform === 'linux' ? /^Cpus_allowed_list:\s*(\S+)$/m.exec(read('/proc/thread-self/status') ?? '') : null
  if (!allowed)
    throw new SlipwayError('request', `option pinThreads: ${platform} does not let threads be pinned; leave it out`)
  const cores = parseCoreList(allowed[1]!)
  if (cores.length < threads)
    throw new SlipwayError(
      'request',
      `option pinThreads: ${threads} threads need as many cores, and this process may use ${cores.length} ` +
        `(${allowed[1]}); lower threads or leave pinThreads out`,
      { threads, cores: cores.length },
    )
  const numSeen = new Map<number, number>()
  const ranked = cores.map((core) => {
    const siblings = read(`/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`)
    const physical = siblings ? parseCoreList(siblings)[0]! : core
    const rank = numSeen.get(physical) ?? 0
    numSeen.set(physical, rank + 1)
    return { core, rank }
  })
  // the sort is stable, so cores of equal rank stay in order
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, threads)
    .map(({ core }) => core)
}

/** Linux's lists: `0-2,5` is 0, 1, 2, 5. */
export function parseCoreList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [first, last = first] = part.split('-').map(Number) as [number, number?]
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
}
