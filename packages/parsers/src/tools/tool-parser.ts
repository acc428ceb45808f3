import type { TextParser, ToolCallDelta, ToolSchema } from '../deltas.ts'
import { isSpace, TextScanner } from '../text-scanner.ts'
import type { CallBody, CallSink, NewCallBody } from './call-body.ts'
import type { CallForm } from './call-form.ts'

/** How a model writes tool calls into its text. */
export interface CallSyntax {
  /** Markers after which a call stands, and how it is written. */
  readonly opens: Readonly<Record<string, NewCallBody>>
  /** Markers that end a block of calls; elsewhere they are text. */
  readonly closes?: readonly string[]
  /** Markers that are markup in a block and do not end it. */
  readonly inner?: readonly string[]
  /** Markers around all calls; they are markup wherever they stand. */
  readonly frames?: readonly string[]
  /** A call that begins with `{` and no marker, where nothing but blanks stands before it. */
  readonly bare?: NewCallBody
  /** A `{` after a call in the same block begins another such call. */
  readonly next?: NewCallBody
  /** Letters that are markup beside calls, as blanks are. */
  readonly glue?: string
  /** Calls stand at the beginning of the content only. */
  readonly isFirstOnly?: boolean
  /** How calls are written where they are forced. */
  readonly form?: CallForm
}

export interface ToolDelta {
  readonly content?: string
  readonly toolCalls?: readonly ToolCallDelta[]
}

/** Separates content from tool calls. What turns out to be no call stays content. */
export class ToolParser implements TextParser<ToolDelta> {
  readonly #syntax: CallSyntax
  readonly #tools: readonly ToolSchema[]
  readonly #newId: () => string
  readonly #scanner: TextScanner
  readonly #longestMarker: number
  readonly #sink: CallSink
  #body: CallBody | undefined
  /** Text since the body began, or since it last wrote to the sink: content if the body fails. */
  #raw = ''
  /** Letters at the beginning of `#raw` that opened the body and are not to be looked at again. */
  #opening = 0
  /** Blanks and glue of which it is not known yet whether they are content. */
  #space = ''
  #isInBlock = false
  /** Nothing but blanks and glue stands between the last call and here. */
  #isAfterCall = false
  #hasContent = false
  #numCalls = 0
  #content = ''
  #calls: { index: number; id?: string; name?: string; argumentsDelta?: string }[] = []

  constructor(syntax: CallSyntax, tools: readonly ToolSchema[], newId: () => string) {
    this.#syntax = syntax
    this.#tools = tools
    this.#newId = newId
    const markers = markersOf(syntax)
    this.#scanner = new TextScanner(markers)
    this.#longestMarker = Math.max(0, ...markers.map(({ length }) => length))
    this.#sink = {
      begin: (name) => this.#beginCall(name),
      arguments: (text) => this.#addArguments(text),
    }
  }

  push(text: string): ToolDelta {
    for (let i = 0; i < text.length; i++) this.#read(text[i]!)
    return this.#takeDelta()
  }

  finish(): ToolDelta {
    if (this.#body) {
      this.#body.finish()
      this.#body = undefined
      this.#addText(this.#raw)
      this.#raw = ''
    }
    this.#addText(this.#scanner.flush())
    if (!this.#isAfterCall) this.#content += this.#space
    this.#space = ''
    return this.#takeDelta()
  }

  #takeDelta(): ToolDelta {
    const [content, toolCalls] = [this.#content, this.#calls]
    this.#content = ''
    this.#calls = []
    return { ...(content !== '' && { content }), ...(toolCalls.length > 0 && { toolCalls }) }
  }

  #read(letter: string): void {
    if (this.#body) this.#readCall(this.#body, letter)
    else this.#readText(letter)
  }

  #readText(letter: string): void {
    if (letter === '{' && this.#scanner.isEmpty) {
      const body = this.#isInBlock && this.#isAfterCall ? this.#syntax.next : undefined
      const newBody = body ?? (this.#hasContent || this.#isInBlock ? undefined : this.#syntax.bare)
      if (newBody) {
        this.#open(newBody, '')
        this.#opening++
        return this.#read(letter)
      }
    }
    const { text, marker } = this.#scanner.read(letter)
    this.#addText(text)
    if (marker !== undefined) this.#readMarker(marker)
  }

  #readMarker(marker: string): void {
    const { opens, inner = [], frames = [], isFirstOnly = false } = this.#syntax
    if (frames.includes(marker)) {
      if (this.#isAfterCall) this.#space = ''
    } else if (Object.hasOwn(opens, marker)) {
      if (isFirstOnly && this.#hasContent) this.#addText(marker)
      else this.#open(opens[marker]!, marker)
    } else if (this.#isInBlock) {
      if (this.#isAfterCall) this.#space = ''
      if (inner.includes(marker)) return
      this.#isInBlock = false
      this.#isAfterCall = true
    } else this.#addText(marker)
  }

  #open(newBody: NewCallBody, marker: string): void {
    this.#body = newBody(this.#sink, this.#tools)
    this.#raw = this.#space + marker
    this.#opening = this.#raw.length
    this.#space = ''
  }

  #readCall(body: CallBody, letter: string): void {
    const before = this.#raw
    this.#raw += letter
    const step = body.read(letter)
    if (step === 'more') return
    this.#body = undefined
    this.#raw = ''
    if (step === 'bad') this.#giveUp(before)
    else {
      this.#isAfterCall = true
      if (step === 'close') this.#isInBlock = false
    }
    if (step === 'bad' || step === 'over') this.#read(letter)
  }

  /** The text is content, but its end may hold the beginning of a marker. */
  #giveUp(text: string): void {
    const from = Math.max(this.#opening, text.length - this.#longestMarker)
    this.#addText(text.slice(0, from))
    for (let i = from; i < text.length; i++) this.#read(text[i]!)
  }

  #addText(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const letter = text[i]!
      if (isSpace(letter) || (this.#isAfterCall && this.#syntax.glue?.includes(letter))) this.#space += letter
      else {
        this.#content += this.#space + letter
        this.#space = ''
        this.#hasContent = true
        this.#isAfterCall = false
      }
    }
  }

  #beginCall(name: string): void {
    this.#calls.push({ index: this.#numCalls++, id: this.#newId(), name })
    this.#isInBlock = true
    this.#isAfterCall = true
    this.#raw = ''
    this.#opening = 0
  }

  #addArguments(text: string): void {
    this.#raw = ''
    if (text === '') return
    const last = this.#calls.at(-1)
    if (last) last.argumentsDelta = (last.argumentsDelta ?? '') + text
    else this.#calls.push({ index: this.#numCalls - 1, argumentsDelta: text })
  }
}

/** All markers of a syntax; a tokenizer that leaves out special tokens must keep those that are such. */
export function markersOf({ opens, closes = [], inner = [], frames = [] }: CallSyntax): string[] {
  return [...Object.keys(opens), ...closes, ...inner, ...frames]
}
