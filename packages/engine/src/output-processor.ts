import { IncrementalDetokenizer, type Tokenizer } from '@slipway/checkpoint'
import type { StepOutput } from './engine.ts'
import type { ChosenLogprob, GenerationEvent } from './outputs.ts'
import type { RawLogprobs } from './runner.ts'
import type { ResolvedParams } from './sampling-params.ts'
import { repetitionStop } from './sequence.ts'
import { StopStrings } from './stop-strings.ts'

/** Turns the engine's tokens of one completion into text events: detokenises, finds stop strings, names logprobs. */
export class OutputProcessor {
  readonly #tokenizer: Tokenizer
  readonly #params: ResolvedParams
  readonly #index: number
  readonly #detokenizer: IncrementalDetokenizer
  readonly #stops: StopStrings
  numTokens = 0
  /** Sum of the log-probabilities that the engine told. */
  cumulativeLogprob = 0
  isFinished = false

  constructor(tokenizer: Tokenizer, params: ResolvedParams, index: number) {
    this.#tokenizer = tokenizer
    this.#params = params
    this.#index = index
    const { skipSpecialTokens, keepSpecialTokens } = params
    this.#detokenizer = new IncrementalDetokenizer(tokenizer, { skipSpecialTokens, keepSpecialTokens })
    this.#stops = new StopStrings(params.stop, params.includeStopStrInOutput)
  }

  /**
   * Events for one step. `stopped` says that a stop string ended the completion here, so the engine, which sees only
   * tokens, has to be told.
   */
  push({ tokenIds, logprobs, score, finish }: StepOutput): { events: GenerationEvent[]; stopped: boolean } {
    const index = this.#index
    let text = ''
    let stop: string | undefined
    let numRead = 0
    const stopsByToken = finish?.reason === 'stop' && finish.stopReason !== repetitionStop
    for (const [i, id] of tokenIds.entries()) {
      numRead++
      this.numTokens++
      this.cumulativeLogprob += logprobs?.[i]?.logprob ?? 0
      const isStopToken = stopsByToken && i === tokenIds.length - 1
      if (isStopToken && !this.#params.includeStopStrInOutput) continue
      const piece = this.#detokenizer.push(id)
      // stop strings count only after minTokens, like end of text
      if (this.numTokens <= this.#params.minTokens) text += this.#stops.flush() + piece
      else {
        const found = this.#stops.push(piece)
        text += found.text
        stop = found.stop
      }
      if (stop !== undefined) break
    }
    if (finish && stop === undefined) {
      const found = this.#stops.push(this.#detokenizer.flush())
      stop = finish.reason === 'stop' || this.numTokens <= this.#params.minTokens ? undefined : found.stop
      text += found.text + (found.stop === undefined ? this.#stops.flush() : '')
    }
    // those behind a stop string are not part of the answer
    const read = tokenIds.slice(0, numRead)
    const events: GenerationEvent[] = []
    if (tokenIds.length > 0 || text !== '')
      events.push({
        type: 'delta',
        index,
        text,
        tokenIds: read,
        ...(logprobs &&
          this.#params.logprobs != null && {
            logprobs: read.map((id, i) => nameLogprobs(this.#tokenizer, id, logprobs[i]!)),
          }),
      })
    if (stop !== undefined) events.push({ type: 'finish', index, finishReason: 'stop', stopReason: stop })
    else if (finish) {
      const { reason: finishReason, stopReason } = finish
      events.push({ type: 'finish', index, finishReason, stopReason, ...(score !== undefined && { score }) })
    }
    this.isFinished = stop !== undefined || finish !== undefined
    return { events, stopped: stop !== undefined && !finish }
  }
}

/** Log-probabilities of a token, with texts. */
export function nameLogprobs(
  tokenizer: Tokenizer,
  tokenId: number,
  { logprob, rank, top }: RawLogprobs,
): ChosenLogprob {
  const textOf = (id: number): string => tokenizer.decode([id], { skipSpecialTokens: false })
  return {
    tokenId,
    token: textOf(tokenId),
    logprob,
    rank,
    top: top.map((entry) => ({ ...entry, token: textOf(entry.tokenId) })),
  }
}
