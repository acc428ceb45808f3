import cliProgress from 'cli-progress'

/** Time between lines where there is no terminal. */
const quietMs = 10_000

/** How far a batch is, on standard error: a bar in a terminal, else a line now and then. */
export class BatchProgress {
  readonly #total: number
  readonly #bar: cliProgress.SingleBar | undefined
  #last = performance.now()

  constructor(done: number, total: number) {
    this.#total = total
    if (!process.stderr.isTTY) return
    const format = 'answering {bar} {value}/{total}, {failed} failed, {rate} tokens/s, {eta_formatted} to go'
    this.#bar = new cliProgress.SingleBar({ format, stream: process.stderr }, cliProgress.Presets.shades_classic)
    this.#bar.start(total, done, { failed: 0, rate: '0' })
  }

  update(done: number, numFailed: number, tokensPerSecond: number): void {
    const rate = tokensPerSecond.toFixed(0)
    this.#bar?.update(done, { failed: numFailed, rate })
    if (this.#bar || performance.now() - this.#last < quietMs) return
    this.#last = performance.now()
    process.stderr.write(`${done}/${this.#total} answered, ${numFailed} failed, ${rate} tokens/s\n`)
  }

  stop(): void {
    this.#bar?.stop()
  }
}
