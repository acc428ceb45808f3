import { availableParallelism } from 'node:os'
import { readSystemFile, type ReadSystemFile } from './system-file.ts'

/**
 * Cores that this process gets: those that it may run on, and no more than a container's quota of time (`docker run --cpus`,
 * a limit in Kubernetes) keeps busy. Threads beyond a quota stop all others, which wait for them at every barrier.
 */
export function usableCores(read: ReadSystemFile = readSystemFile, allowed: number = availableParallelism()): number {
  return Math.max(1, Math.min(allowed, Math.floor(quota(read) ?? allowed)))
}

/** Cores' worth of time that the group of processes may use; undefined without a limit. */
function quota(read: ReadSystemFile): number | undefined {
  // cgroup v2 has both numbers in one file, v1 a file for each and -1 for none, both in microseconds
  const [most, period] = (
    read('/sys/fs/cgroup/cpu.max') ??
    `${read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? ''} ${read('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? ''}`
  )
    .trim()
    .split(/\s+/)
    .map(Number)
  return most! > 0 && period! > 0 ? most! / period! : undefined
}
