import cliProgress from 'cli-progress'

type ProgressStream = NodeJS.WritableStream & { readonly isTTY?: boolean }

/** How far a batch is, on standard error: a bar in a terminal, else a line now and then. */
export class BatchProgress {
  readonly #total: number
  readonly #bar: cliProgress.SingleBar | undefined
  #last = performance.now()

  readonly #stream: ProgressStream
  readonly #quietMs: number

  /** Where there is no terminal, lines are `quietMs` apart. */
  constructor(done: number, total: number, stream: ProgressStream = process.stderr, quietMs = 10_000) {
    this.#total = total
    this.#stream = stream
    this.#quietMs = quietMs
    if (!stream.isTTY) return
    const format = 'answering {bar} {value}/{total}, {failed} failed, {rate} tokens/s, {eta_formatted} to go'
    this.#bar = new cliProgress.SingleBar({ format, stream }, cliProgress.Presets.shades_classic)
    this.#bar.start(total, done, { failed: 0, rate: '0' })
  }

  update(done: number, numFailed: number, tokensPerSecond: number): void {
    const rate = tokensPerSecond.toFixed(0)
    this.#bar?.update(done, { failed: numFailed, rate })
    if (this.#bar || performance.now() - this.#last < this.#quietMs) return
    this.#last = performance.now()
    this.#stream.write(`${done}/${this.#total} answered, ${numFailed} failed, ${rate} tokens/s\n`)
  }

  stop(): void {
    this.#bar?.stop()
  }
}
