import type { Adapter, Adapters } from './adapters.ts'
import { BeamGroup } from './beam-group.ts'
import type { FinishReason } from './outputs.ts'
import type { RawLogprobs } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import type { EngineRequest, Sequence } from './sequence.ts'
import type { StepOutput } from './step-output.ts'

interface Parts {
  readonly scheduler: Scheduler
  readonly eosIds: readonly number[]
  readonly adapters?: Adapters | undefined
  /** Copies keys and values of a block. */
  readonly copyBlock?: (from: number, to: number) => Promise<void>
}

interface Listener {
  /** These are the sequences of a request from now on. */
  onMembers(requestId: string, sequences: Sequence[]): void
  onEnd(requestId: string): void
}

/** The beam searches under way: after a step it moves on those whose beams have all run. */
export class BeamGroups {
  readonly #groups = new Map<string, BeamGroup>()
  readonly #parts: Parts
  readonly #listener: Listener

  constructor(parts: Parts, listener: Listener) {
    this.#parts = parts
    this.#listener = listener
  }

  /** The sequences to begin with. */
  begin(request: EngineRequest, adapter: Adapter | undefined): Sequence[] {
    const group = new BeamGroup(request, this.#parts.eosIds, adapter)
    this.#groups.set(request.requestId, group)
    return group.sequences
  }

  /** Takes the best next tokens of a sequence; false if it belongs to no search. */
  take(sequence: Sequence, logprobs: RawLogprobs | undefined): boolean {
    const group = this.#groups.get(sequence.request.requestId)
    group?.take(sequence, logprobs!)
    return group !== undefined
  }

  async advance(): Promise<StepOutput[]> {
    const { scheduler, copyBlock } = this.#parts
    const outputs: StepOutput[] = []
    for (const group of this.#groups.values()) {
      if (!group.isReady) {
        for (const sequence of group.waiting) {
          scheduler.remove(sequence)
          group.held.add(sequence)
        }
        continue
      }
      const step = group.advance()
      if (!step) {
        outputs.push(...this.#end(group))
        continue
      }
      this.#listener.onMembers(group.request.requestId, group.sequences)
      const copies = step.forks.flatMap(({ parent, child }) => scheduler.fork(parent, child) ?? [])
      for (const sequence of [...step.kept, ...step.dropped]) {
        const wasHeld = group.held.delete(sequence)
        if (wasHeld && step.kept.includes(sequence)) scheduler.add(sequence)
        if (!wasHeld && step.dropped.includes(sequence)) scheduler.remove(sequence)
      }
      // all at once: an abort may come in between, and must find the group whole
      await Promise.all(copies.map(({ from, to }) => copyBlock!(from, to)))
    }
    return outputs
  }

  #end(group: BeamGroup): StepOutput[] {
    const { requestId, params } = group.request
    this.#remove(group)
    return group.ended(params.n).map(({ tokenIds, score, stopToken }, index) => ({
      requestId,
      index,
      tokenIds,
      score,
      ...(index === 0 && { numCachedTokens: group.numCached ?? 0 }),
      finish: { reason: stopToken === undefined ? 'length' : 'stop', stopReason: group.stopReasonOf(stopToken) },
    }))
  }

  /** Ends a search before its time; undefined if there is none of that name. */
  abort(requestId: string, reason: FinishReason): StepOutput[] | undefined {
    const group = this.#groups.get(requestId)
    if (!group) return undefined
    const finish = { reason, stopReason: null }
    for (const sequence of group.sequences) sequence.finish = finish
    this.#remove(group)
    return Array.from({ length: group.request.params.n }, (_, index) => ({ requestId, index, tokenIds: [], finish }))
  }

  #remove(group: BeamGroup): void {
    const { scheduler, adapters } = this.#parts
    for (const sequence of group.sequences)
      if (!group.held.has(sequence) && !adapters?.isWaiting(sequence)) scheduler.remove(sequence)
    // all of them stood there as one
    if (group.request.lora !== undefined) adapters?.leave(group.first)
    this.#groups.delete(group.request.requestId)
    this.#listener.onEnd(group.request.requestId)
  }
}
