import { setMaxListeners } from 'node:events'

/**
 * Calls `abort` when the signal is; returns what takes that back. One signal may stand for any number of requests, which
 * is no leak, so Node is told not to warn of it.
 */
export function onAbort(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (!signal) return () => {}
  setMaxListeners(0, signal)
  signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}
