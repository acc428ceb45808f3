import { setTimeout as pause } from 'node:timers/promises'
import { traceRequest, type Message, type RequestTrace, type Target } from './client.ts'
import type { Session } from './workload.ts'

export interface LoadRun {
  readonly traces: readonly RequestTrace[]
  /** Seconds from the first request to the last answer. */
  readonly duration: number
}

/** Plays the sessions against a server, at most `maxConcurrency` at once; `onTrace` is told of every request. */
export async function runLoad(
  target: Target,
  sessions: readonly Session[],
  maxConcurrency: number,
  onTrace: (trace: RequestTrace) => void,
): Promise<LoadRun> {
  const traces: RequestTrace[] = []
  const begin = performance.now()
  const waiting = sessions.values()
  const client = async (): Promise<void> => {
    for (const { arrival, turns } of waiting) {
      const early = begin + arrival - performance.now()
      if (early > 0) await pause(early)
      const history: Message[] = []
      for (const content of turns) {
        history.push({ role: 'user', content })
        const trace = await traceRequest(target, history)
        traces.push(trace)
        onTrace(trace)
        // a conversation cannot go on without its answer
        if (trace.error !== undefined) break
        history.push({ role: 'assistant', content: trace.text })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(maxConcurrency, sessions.length) }, client))
  return { traces, duration: (performance.now() - begin) / 1000 }
}
