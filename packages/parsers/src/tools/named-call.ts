import { JsonScanner } from '../json-scanner.ts'
import type { CallBody, CallSink, CallStep, NewCallBody } from './call-body.ts'
import { CallHeader, type HeaderPart } from './call-header.ts'

/** A call as a header with the name, then the arguments as a JSON object. */
export function namedCall(header: readonly HeaderPart[]): NewCallBody {
  return (sink) => new NamedCall(new CallHeader(header), sink)
}

class NamedCall implements CallBody {
  readonly #header: CallHeader
  readonly #sink: CallSink
  #scanner: JsonScanner | undefined

  constructor(header: CallHeader, sink: CallSink) {
    this.#header = header
    this.#sink = sink
  }

  read(letter: string): CallStep {
    if (!this.#scanner) {
      const step = this.#header.read(letter)
      if (step !== 'over') return step
      if (letter !== '{') return 'bad'
      this.#scanner = new JsonScanner()
      this.#sink.begin(this.#header.name)
    }
    const step = this.#scanner.read(letter)
    const { written } = this.#scanner
    if (written !== '') this.#sink.arguments(written)
    return step
  }

  finish(): void {}
}
