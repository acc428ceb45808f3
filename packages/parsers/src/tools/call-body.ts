import type { ToolSchema } from '../deltas.ts'
import { isSpace } from '../text-scanner.ts'

/**
 * What a letter was to a call. `more`: a part of it; `end`: its last letter; `close`: the same, and its block ends too;
 * `over`: the call ended before it; `bad`: it cannot stand there, so the call, or what was to be one, ended before it.
 */
export type CallStep = 'more' | 'end' | 'close' | 'over' | 'bad'

/** Where a call is written as it is read. Once it has begun it cannot be taken back. */
export interface CallSink {
  begin(name: string): void
  /** The next piece of the arguments' JSON. */
  arguments(text: string): void
}

/** Reads one call after its opening marker, letter by letter. */
export interface CallBody {
  read(letter: string): CallStep
  /** No more text comes: writes what is held back. */
  finish(): void
}

export type NewCallBody = (sink: CallSink, tools: readonly ToolSchema[]) => CallBody

/** Two ways to write a call: the first one for calls that begin with one of the letters, the second for all others. */
export function eitherCall(letters: string, first: NewCallBody, second: NewCallBody): NewCallBody {
  return (sink, tools) => {
    let body: CallBody | undefined
    return {
      read(letter) {
        if (!body && isSpace(letter)) return 'more'
        body ??= (letters.includes(letter) ? first : second)(sink, tools)
        return body.read(letter)
      },
      finish: () => body?.finish(),
    }
  }
}
