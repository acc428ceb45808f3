import type { ModelInfo, ModelProfile, OpProfile } from '@slipway/engine'
import type { CaseRates } from './bench-rates.ts'
import { figure, percent, tableLines } from './table.ts'

/** A profile for the terminal. */
export function profileReport(profile: ModelProfile): string {
  const { model, device, step, ops, outside, speed, sequences, rows, context, numSteps, numBarriers } = profile
  const us = (seconds: number): string => (1e6 * seconds).toFixed(0)
  const share = (seconds: number): string => percent(seconds / step)
  const outsideSeconds = Object.values(outside).reduce((a, b) => a + b, 0)
  const rateOf = ({ flops, bytes, seconds }: OpProfile): string[] => {
    const [gbs, gflops] = [bytes / seconds / 1e9, flops / seconds / 1e9]
    // the timer's noise can make the smallest ops nothing
    if (seconds === 0) return ['-', '-']
    return [`${figure(gbs)}${of(gbs, speed?.bandwidth)}`, `${figure(gflops)}${of(gflops, speed?.peak)}`]
  }
  return [
    `${model}, ${device}, ${weights(profile)}: ${sequences} x ${rows} tokens after ${context}`,
    speed
      ? `the machine reads ${figure(speed.bandwidth)} GB/s, f32 peak ${figure(speed.peak)} GFLOP/s, both with all threads`
      : 'without native kernels no ceilings are known',
    '',
    ...tableLines([
      ['op', 'calls', 'us', 'of step', 'GB/s', 'GFLOP/s'],
      ...ops.map((one) => [
        `${one.op} ${one.shapes}`,
        String(one.calls),
        us(one.seconds),
        share(one.seconds),
        ...rateOf(one),
      ]),
    ]),
    '',
    `step ${us(step)} us, ${numSteps} ops, ${numBarriers} barriers; outside of kernels ${share(outsideSeconds)}:`,
    ...tableLines(Object.entries(outside).map(([name, seconds]) => [name, `${us(seconds)} us`, share(seconds)])),
  ].join('\n')
}

function of(value: number, ceiling: number | undefined): string {
  return ceiling ? ` (${((100 * value) / ceiling).toFixed(0)} %)`.padStart(8) : ''
}

/** Rates for the terminal. */
export function ratesReport(info: ModelInfo, rounds: number, cases: readonly CaseRates[]): string {
  return [
    `${info.model}, ${info.device}, ${weights(info)}, medians of ${rounds} rounds`,
    '',
    ...tableLines([
      ['prompt', 'batch', 'first token, ms', 'each further, ms', 'prefill, tok/s', 'decode, tok/s'],
      ...cases.map((one) => [
        String(one.prompt),
        String(one.sequences),
        figure(one.timeToFirstToken),
        figure(one.timePerOutputToken),
        figure(one.prefill),
        one.decode === null ? '-' : figure(one.decode),
      ]),
    ]),
    ...(cases.some(({ decode }) => decode === null)
      ? ['', '- : the first sequence had ended before the last one began to decode; raise --tokens']
      : []),
  ].join('\n')
}

function weights({
  dtype,
  quantization,
  headQuantization,
}: Pick<ModelInfo, 'dtype' | 'quantization' | 'headQuantization'>): string {
  return [quantization ?? dtype, ...(headQuantization ? [`head ${headQuantization}`] : [])].join(', ')
}
