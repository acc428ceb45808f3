import { constants } from 'node:os'

/** Exit code when requests had to be cut off at the end. */
export const cutOff = 3

interface Log {
  info(message: string): void
  warn(message: string): void
  error(facts: object, message: string): void
}

/**
 * On SIGINT or SIGTERM runs `stop`, which resolves to whether all requests came to their end; a second signal ends the
 * program at once, with 128 + its number. The result tells whether a signal has come, once `stop` is done.
 */
export function stopOnSignals(stop: () => Promise<boolean>, log: Log): () => Promise<boolean> {
  let stopping: Promise<void> | undefined
  const onSignal = (name: 'SIGINT' | 'SIGTERM'): void => {
    if (stopping) process.exit(128 + constants.signals[name])
    log.info(`${name}: requests under way come to their end, new ones are refused; a second signal ends at once`)
    stopping = stop().then(
      (isClean) => {
        if (isClean) return
        log.warn('requests were cut off')
        process.exitCode = cutOff
      },
      (error: unknown) => {
        log.error({ err: error }, 'the end failed')
        process.exitCode = 1
      },
    )
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return async () => {
    await stopping
    return stopping !== undefined
  }
}
