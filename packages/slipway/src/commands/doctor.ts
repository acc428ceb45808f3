import { machineInfo, measureMachine, type MachineSpeed } from '@slipway/tensor'
import { Command } from 'commander'
import { kernelFacts, machineFacts, type Facts } from '../environment-report.ts'

/** Tells what the machine offers and what of it is used. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('show what this machine offers and which kernels are used')
    .action(async () => {
      for (const [name, value] of [...(await machineFacts()), ...kernelFacts(), ...speedFacts()])
        console.log(`${`${name}:`.padEnd(20)}${value}`)
    })
}

function speedFacts(): Facts {
  const speed = machineInfo().cpu.available ? measureMachine() : undefined
  if (!speed) return []
  return [
    ['memory bandwidth', `${speed.bandwidth.toFixed(1)} GB/s read by all threads`],
    ['f32 peak', `${speed.peak.toFixed(0)} GFLOP/s by all threads`],
    ['int8 peak', integerPeaks(speed.integerPeaks)],
  ]
}

function integerPeaks({ 4: int4, 8: int8 }: MachineSpeed['integerPeaks']): string {
  return `${int8.toFixed(0)} GOP/s by all threads, ${int4.toFixed(0)} with weights of 4 bits`
}
