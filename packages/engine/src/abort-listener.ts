import { setMaxListeners } from 'node:events'

/** Listens for the end of a signal; what it returns stops that. One signal may end thousands of requests at once. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal) return () => {}
  // Node takes more than ten for a leak, and warns
  setMaxListeners(0, signal)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}
