import { afterEach, describe, expect, it, vi } from 'vitest'
import { cpuAvailable, cpuDevice, defaultDevice } from './devices/cpu.ts'
import { machineInfo, measureMachine } from './machine-info.ts'
import { chooseTarget, isas, loadNative, type Isa, type Native } from './native.ts'

afterEach(() => vi.unstubAllEnvs())

describe('without the native kernels', () => {
  it('everything says so and the reference device takes over', () => {
    vi.stubEnv('SLIPWAY_NATIVE', 'off')
    expect(cpuAvailable()).toEqual({
      available: false,
      reason: 'SLIPWAY_NATIVE=off is set',
      remedy: 'unset SLIPWAY_NATIVE',
    })
    expect(() => cpuDevice()).toThrow(/not available: SLIPWAY_NATIVE=off/)
    expect(defaultDevice().name).toBe('reference')
    expect(machineInfo()).toMatchObject({ compiledIsas: [], cpu: { available: false } })
    expect(measureMachine()).toBeUndefined()
  })
})

describe.skipIf(!loadNative().native)('with the native kernels', () => {
  it('SLIPWAY_ISA chooses, and an unknown one is an error that lists the choices', () => {
    const available = cpuAvailable()
    if (!available.available) return expect.fail(available.reason)
    for (const isa of available.isas) {
      vi.stubEnv('SLIPWAY_ISA', isa)
      const device = defaultDevice({ threads: 1 })
      expect(device.name).toBe(`cpu (${isa}, 1 threads)`)
      device.close()
    }
    vi.stubEnv('SLIPWAY_ISA', 'mmx')
    expect(() => cpuDevice()).toThrow(/instruction set mmx cannot be used here.*this machine runs: .*/)
    expect(cpuAvailable()).toMatchObject({ available: false, remedy: 'unset SLIPWAY_ISA' })
  })

  it('describes the machine and measures it', () => {
    const info = machineInfo()
    expect(info.cores).toBeGreaterThan(0)
    expect(info.compiledIsas.every((isa) => isas.includes(isa))).toBe(true)
    const speed = measureMachine(1)!
    expect(speed.bandwidth).toBeGreaterThan(0.5)
    expect(speed.peak).toBeGreaterThan(0.5)
    expect(speed.integerPeaks[4]).toBeGreaterThan(0.5)
    expect(speed.integerPeaks[8]).toBeGreaterThan(0.5)
  })
})

it('a processor without any compiled instruction set is told apart', () => {
  vi.stubEnv('SLIPWAY_ISA', undefined)
  const native = { targets: () => [['avx512', false] as [Isa, boolean]] } as unknown as Native
  expect(() => chooseTarget(native, undefined)).toThrow(/none of the compiled/)
})
