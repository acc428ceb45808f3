import { readFileSync, readlinkSync } from 'node:fs'

/** Linux counts in hundredths of a second wherever Node runs. */
const msPerTick = 10

/** The calling thread's name in /proc, such as 12/task/34; undefined on other systems. */
export function ownThreadFile(): string | undefined {
  try {
    return readlinkSync('/proc/thread-self')
  } catch {
    return undefined
  }
}

/** Reads the milliseconds of processor time of a thread of this process, by its `ownThreadFile`. */
export function threadTimeOf(threadFile: string | undefined): (() => number) | undefined {
  if (threadFile === undefined) return undefined
  return () => {
    try {
      const text = readFileSync(`/proc/${threadFile}/stat`, 'latin1')
      // the second field is a name in brackets and may hold spaces; user and system time are the 14th and 15th
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) * msPerTick
    } catch {
      // the thread is gone: then it has had its time
      return Infinity
    }
  }
}
