import type { ToolSchema } from '../deltas.ts'
import { JsonScanner, scanJson } from '../json-scanner.ts'
import { isSpace } from '../text-scanner.ts'
import type { CallBody, CallSink, CallStep, NewCallBody } from './call-body.ts'

export interface EnvelopeForm {
  readonly nameKeys: readonly string[]
  readonly argumentsKeys: readonly string[]
  /** Keys of objects that hold the name and the arguments, as `function` does in the OpenAI API. */
  readonly wrapperKeys: readonly string[]
  /** Takes only calls of given tools that have arguments, because nothing else tells them from an answer in JSON. */
  readonly isBare?: boolean
}

export const commonEnvelope: EnvelopeForm = {
  nameKeys: ['name'],
  argumentsKeys: ['arguments', 'parameters'],
  wrapperKeys: ['function'],
}

/** A call as a JSON object with a name and arguments; texts and numbers under other keys count as markup. */
export function envelopeCall(form: EnvelopeForm = commonEnvelope): NewCallBody {
  return (sink, tools) => new EnvelopeCall(form, sink, tools)
}

type State = 'begin' | 'first-key' | 'key' | 'in-key' | 'colon' | 'value' | 'in-value' | 'after'

class EnvelopeCall implements CallBody {
  readonly #form: EnvelopeForm
  readonly #sink: CallSink
  readonly #tools: readonly ToolSchema[]
  #state: State = 'begin'
  #isInList = false
  /** Open objects: the envelope and wrappers in it. */
  #depth = 0
  #key = ''
  #scanner = new JsonScanner()
  /** The key or value under way, as far as it is kept. */
  #text = ''
  #name: string | undefined
  /** Arguments that came before the name. */
  #waiting: string | undefined
  #hasBegun = false

  constructor(form: EnvelopeForm, sink: CallSink, tools: readonly ToolSchema[]) {
    this.#form = form
    this.#sink = sink
    this.#tools = tools
  }

  read(letter: string): CallStep {
    if (this.#state === 'in-key') return this.#readKey(letter)
    if (this.#state === 'in-value') return this.#readValue(letter)
    if (isSpace(letter)) return 'more'
    switch (this.#state) {
      case 'begin':
        if (letter === '[' && !this.#isInList) {
          this.#isInList = true
          return 'more'
        }
        return letter === '{' ? this.#open() : 'bad'
      case 'first-key':
      case 'key':
        if (letter === '}' && this.#state === 'first-key') return this.#close()
        if (letter !== '"') return 'bad'
        this.#begin('in-key')
        return this.#readKey(letter)
      case 'colon':
        this.#state = 'value'
        return letter === ':' ? 'more' : 'bad'
      case 'value':
        return this.#beginValue(letter)
      case 'after':
        if (letter === '}') return this.#close()
        this.#state = 'key'
        return letter === ',' ? 'more' : 'bad'
    }
  }

  finish(): void {}

  #begin(state: 'in-key' | 'in-value'): void {
    this.#scanner = new JsonScanner()
    this.#text = ''
    this.#state = state
  }

  #open(): CallStep {
    this.#depth++
    this.#state = 'first-key'
    return 'more'
  }

  #close(): CallStep {
    this.#depth--
    this.#state = 'after'
    if (this.#depth > 0) return 'more'
    if (this.#hasBegun) return 'end'
    if (this.#name === undefined || this.#form.isBare) return 'bad'
    this.#beginCall(this.#name, '{}')
    return 'end'
  }

  #readKey(letter: string): CallStep {
    const step = this.#scan(letter)
    if (step !== 'end') return step
    this.#key = JSON.parse(this.#text) as string
    this.#state = 'colon'
    return 'more'
  }

  get #isArguments(): boolean {
    return this.#form.argumentsKeys.includes(this.#key)
  }

  get #isName(): boolean {
    return this.#form.nameKeys.includes(this.#key)
  }

  #beginValue(letter: string): CallStep {
    if (this.#form.wrapperKeys.includes(this.#key) && letter === '{') return this.#open()
    if (this.#isArguments) {
      // a second time they would be lost
      if (this.#hasBegun || this.#waiting !== undefined || !'{"n'.includes(letter)) return 'bad'
      if (letter === '{' && this.#name !== undefined) this.#beginCall(this.#name, '')
    } else if (this.#isName) {
      if (this.#name !== undefined || letter !== '"') return 'bad'
    } else if (letter === '{' || letter === '[') return 'bad'
    this.#begin('in-value')
    return this.#readValue(letter)
  }

  #readValue(letter: string): CallStep {
    const isStreamed = this.#isArguments && this.#hasBegun
    const step = isStreamed ? this.#stream(letter) : this.#scan(letter)
    if (step === 'over') {
      this.#state = 'after'
      return this.read(letter)
    }
    if (step !== 'end') return step
    this.#state = 'after'
    if (this.#isArguments && !isStreamed) return this.#takeArguments(this.#text)
    if (this.#isName) return this.#takeName(JSON.parse(this.#text) as string)
    // more than a label could be the arguments under a misspelt key
    return !this.#isArguments && this.#text.startsWith('"{') ? 'bad' : 'more'
  }

  #takeName(name: string): CallStep {
    const isKnown = !this.#form.isBare || this.#tools.some((tool) => tool.function.name === name)
    if (name === '' || !isKnown) return 'bad'
    this.#name = name
    if (this.#waiting !== undefined) this.#beginCall(name, this.#waiting)
    return 'more'
  }

  /** Some models write the arguments as a text that holds JSON, or null for none. */
  #takeArguments(text: string): CallStep {
    const value = text.startsWith('"') ? (JSON.parse(text) as string).trim() : text
    const json = value === '' || value === 'null' ? '{}' : scanJson(value)
    if (!json?.startsWith('{')) return 'bad'
    if (this.#name === undefined) this.#waiting = json
    else this.#beginCall(this.#name, json)
    return 'more'
  }

  #beginCall(name: string, text: string): void {
    this.#hasBegun = true
    this.#sink.begin(name)
    if (text !== '') this.#sink.arguments(text)
  }

  #stream(letter: string): CallStep {
    const step = this.#scanner.read(letter)
    const { written } = this.#scanner
    if (written !== '') this.#sink.arguments(written)
    return step
  }

  #scan(letter: string): CallStep {
    const step = this.#scanner.read(letter)
    this.#text += this.#scanner.written
    return step
  }
}
