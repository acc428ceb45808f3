// @ts-check
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
