import type { GenerationEvent, Usage } from './outputs.ts'
import type { GenerationStream } from './generation-stream.ts'
import type { SchedulingOptions } from './scheduling-options.ts'
import { showProgress } from './progress.ts'

/** What can be asked of one request beside its sampling. */
export interface RequestOptions extends SchedulingOptions {
  /** Aborting ends the request. */
  readonly signal?: AbortSignal
  /** Name of the LoRA adapter that answers; absent: the model alone. */
  readonly lora?: string | undefined
}

/** What is known of a request, at its end and on the way there. */
export type RequestRecord = Pick<
  GenerationStream,
  'requestId' | 'promptTokenIds' | 'usage' | 'finishReasons' | 'timing'
>

/** For all requests of a list; when they are aborted, promises reject with the signal's reason. */
export interface BatchOptions extends RequestOptions {
  /** Called with every request of the list that the engine gets. */
  readonly onRequest?: (request: RequestRecord) => void
  /** A bar on standard error; by default for long lists in a terminal. */
  readonly progress?: boolean
}

/** An event of a list of prompts: `prompt` is the place in the list. */
export type IndexedEvent = GenerationEvent & { readonly prompt: number }

/** A request that the engine has. */
interface UnderWay<R> extends RequestRecord {
  result(): Promise<R>
  abort(): void
}

/** Runs a list with at most `width` requests under way; results keep the order of the list. */
export async function runAll<P, R extends { readonly usage: Usage }>(
  prompts: readonly P[],
  submit: (prompt: P) => UnderWay<R>,
  width: number,
  { signal, progress, onRequest }: BatchOptions,
): Promise<R[]> {
  const results: R[] = []
  const bar = await showProgress(prompts.length, progress)
  const open = new Set<UnderWay<R>>()
  let next = 0
  const work = async (): Promise<void> => {
    while (next < prompts.length) {
      signal?.throwIfAborted()
      const i = next++
      const stream = submit(prompts[i]!)
      onRequest?.(stream)
      open.add(stream)
      results[i] = await stream.result()
      open.delete(stream)
      bar?.advance(results[i].usage)
      signal?.throwIfAborted()
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(width, prompts.length) }, work))
  } finally {
    // one failure ends the list: nothing goes on unseen
    next = prompts.length
    for (const stream of open) stream.abort()
    bar?.stop()
  }
  return results
}

/** Events of a list as they come, at most `width` requests under way. */
export async function* streamAll<P>(
  prompts: readonly P[],
  submit: (prompt: P) => GenerationStream,
  width: number,
): AsyncGenerator<IndexedEvent, void, undefined> {
  type Turn = {
    readonly stream: GenerationStream
    readonly source: AsyncIterator<GenerationEvent>
    readonly prompt: number
  }
  const turns = new Map<Turn, Promise<{ turn: Turn; result: IteratorResult<GenerationEvent> }>>()
  const advance = (turn: Turn): void => {
    turns.set(
      turn,
      turn.source.next().then((result) => ({ turn, result })),
    )
  }
  const start = (stream: GenerationStream, prompt: number): void =>
    advance({ stream, source: stream[Symbol.asyncIterator](), prompt })
  let next = 0
  try {
    for (;;) {
      for (; turns.size < width && next < prompts.length; next++) start(submit(prompts[next]!), next)
      if (turns.size === 0) return
      const { turn, result } = await Promise.race(turns.values())
      if (result.done) turns.delete(turn)
      else {
        advance(turn)
        yield { ...result.value, prompt: turn.prompt }
      }
    }
  } finally {
    for (const { stream } of turns.keys()) stream.abort()
  }
}

/** Tells of a stream, which is no list that is run. */
export function told(stream: GenerationStream, { onRequest }: BatchOptions): GenerationStream {
  onRequest?.(stream)
  return stream
}
