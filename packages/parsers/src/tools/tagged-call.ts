import type { ToolSchema } from '../deltas.ts'
import { isSpace, TextScanner } from '../text-scanner.ts'
import type { CallBody, CallSink, CallStep, NewCallBody } from './call-body.ts'
import { CallHeader, type HeaderPart } from './call-header.ts'
import { newValueWriter, type ValueWriter } from './value-writer.ts'
import { typesOf } from './schema-types.ts'

export interface TaggedForm {
  readonly header: readonly HeaderPart[]
  readonly key: readonly [open: string, close: string]
  /** The opening may be empty. */
  readonly value: readonly [open: string, close: string]
  /** End of the call; of the call and its block. */
  readonly end: string | undefined
  readonly blockEnd: string
  /** Values stand on lines of their own, and where their end is missing, the next tag on a new line ends them. */
  readonly hasLines: boolean
}

/** A call as a header with the name, then keys and values between tags. */
export function taggedCall(form: TaggedForm): NewCallBody {
  return (sink, tools) => new TaggedCall(form, sink, tools)
}

/** Longer keys are no keys. */
const maxKeyLength = 256

class TaggedCall implements CallBody {
  readonly #form: TaggedForm
  readonly #sink: CallSink
  readonly #tools: readonly ToolSchema[]
  readonly #header: CallHeader
  #state: 'header' | 'tags' | 'key' | 'value-tag' | 'value' = 'header'
  /** Of the tag or key under way. */
  #text = ''
  #key = ''
  #numKeys = 0
  #hasBegun = false
  #writer: ValueWriter | undefined
  #scanner: TextScanner

  constructor(form: TaggedForm, sink: CallSink, tools: readonly ToolSchema[]) {
    this.#form = form
    this.#sink = sink
    this.#tools = tools
    this.#header = new CallHeader(form.header)
    this.#scanner = this.#newScanner()
  }

  read(letter: string): CallStep {
    switch (this.#state) {
      case 'header': {
        const step = this.#header.read(letter)
        if (step !== 'over') return step
        this.#state = 'tags'
        return this.#readTag(letter, this.#tags)
      }
      case 'tags':
        return this.#readTag(letter, this.#tags)
      case 'key':
        return this.#readKey(letter)
      case 'value-tag':
        return this.#readTag(letter, [this.#form.value[0]])
      case 'value':
        return this.#readValue(letter)
    }
  }

  finish(): void {
    if (this.#state === 'value') {
      const json = this.#writer!.push(this.#scanner.flush())
      this.#sink.arguments(json + this.#writer!.cut())
    } else if (this.#hasBegun && this.#state === 'tags' && this.#text === '') this.#sink.arguments('}')
  }

  get #tags(): readonly string[] {
    const { key, end, blockEnd } = this.#form
    return end === undefined ? [key[0], blockEnd] : [key[0], end, blockEnd]
  }

  #newScanner(): TextScanner {
    const { key, value, end, hasLines } = this.#form
    return new TextScanner(hasLines && end !== undefined ? [value[1], `\n${key[0]}`, `\n${end}`] : [value[1]])
  }

  #readTag(letter: string, tags: readonly string[]): CallStep {
    if (this.#text === '' && isSpace(letter)) return 'more'
    const text = this.#text + letter
    if (!tags.some((tag) => tag.startsWith(text))) return this.#fail()
    const isWhole = tags.includes(text)
    this.#text = isWhole ? '' : text
    return isWhole ? this.#take(text) : 'more'
  }

  #take(tag: string): CallStep {
    const { key, value, blockEnd } = this.#form
    if (this.#state === 'value-tag' && tag === value[0]) return this.#beginValue()
    if (!this.#hasBegun) {
      this.#hasBegun = true
      this.#sink.begin(this.#header.name)
      this.#sink.arguments('{')
    }
    if (tag === key[0]) {
      this.#state = 'key'
      return 'more'
    }
    this.#sink.arguments('}')
    return tag === blockEnd ? 'close' : 'end'
  }

  #fail(): CallStep {
    if (this.#hasBegun) this.#sink.arguments('}')
    return 'bad'
  }

  #readKey(letter: string): CallStep {
    const close = this.#form.key[1]
    if (letter === '\n' || this.#text.length > maxKeyLength) return this.#fail()
    this.#text += letter
    if (!this.#text.endsWith(close)) return 'more'
    this.#key = this.#text.slice(0, -close.length).trim()
    this.#text = ''
    this.#state = 'value-tag'
    return this.#form.value[0] === '' ? this.#beginValue() : 'more'
  }

  #beginValue(): CallStep {
    const tool = this.#tools.find((tool) => tool.function.name === this.#header.name)
    const types = typesOf(tool?.function.parameters, this.#key)
    this.#sink.arguments(`${this.#numKeys++ > 0 ? ', ' : ''}${JSON.stringify(this.#key)}: `)
    this.#writer = newValueWriter(types, this.#form.hasLines)
    this.#scanner = this.#newScanner()
    this.#state = 'value'
    return 'more'
  }

  #readValue(letter: string): CallStep {
    const { text, marker } = this.#scanner.read(letter)
    const json = this.#writer!.push(text)
    if (json !== '') this.#sink.arguments(json)
    if (marker === undefined) return 'more'
    this.#sink.arguments(this.#writer!.end())
    this.#state = 'tags'
    return marker === this.#form.value[1] ? 'more' : this.#take(marker.slice(1))
  }
}
