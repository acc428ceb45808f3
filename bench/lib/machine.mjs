// @ts-check
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { machineInfo } from '@slipway/tensor'

/**
 * What the figures depend on; nothing that names a machine.
 *
 * @typedef {object} Machine
 * @property {string} processor
 * @property {number} cores
 * @property {string} isa that our kernels use
 * @property {string | undefined} hugePages
 * @property {number} memoryGiB
 * @property {string} system
 * @property {string} node
 * @property {string} date
 */

/** @returns {Machine} */
export function describeMachine() {
  const { processor, cores, cpu, hugePages } = machineInfo()
  return {
    processor,
    cores,
    isa: cpu.available ? cpu.isa : 'none',
    hugePages,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    // major and minor; the rest may name a vendor's own build
    system: `${type()} ${release().split('.').slice(0, 2).join('.')}`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  }
}

/** Milliseconds that all cores together have worked since the system began, for whomever. */
export function busyTime() {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}

/** Milliseconds of processor time of this process and of its ended child processes. */
export function ownTime() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000 + childrenTime()
}

/** Where the system tells: node-llama-cpp tries its kernels in a child process. */
function childrenTime() {
  if (process.platform !== 'linux') return 0
  // the name, which may hold anything, is in brackets; cutime and cstime follow as 14th and 15th, in 1/100 s (proc(5))
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return 10 * (Number(fields[13]) + Number(fields[14]))
}
