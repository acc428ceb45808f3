import type { Usage } from './outputs.ts'

export interface ProgressBar {
  advance(usage: Usage): void
  stop(): void
}

/** Prompts from which a list counts as long. */
const longList = 16

/** A bar over `total` prompts with tokens per second; undefined when none is wanted. */
export async function showProgress(total: number, wanted: boolean | undefined): Promise<ProgressBar | undefined> {
  if (!(wanted ?? (total >= longList && process.stderr.isTTY))) return undefined
  // only those who see a bar pay for it
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar(
    {
      format: '{bar} {value}/{total} prompts | {speed} tokens/s | {eta_formatted} left',
      stream: process.stderr,
      noTTYOutput: true,
    },
    cliProgress.Presets.shades_classic,
  )
  const started = performance.now()
  let tokens = 0
  bar.start(total, 0, { speed: '0' })
  return {
    advance({ completionTokens }) {
      tokens += completionTokens
      bar.increment(1, { speed: (tokens / ((performance.now() - started) / 1000)).toFixed(1) })
    },
    stop: () => bar.stop(),
  }
}
