import type { TextParser } from '../deltas.ts'
import { isSpace, TextScanner } from '../text-scanner.ts'
import type { ReasoningFormat } from './reasoning-format.ts'

export interface ReasoningDelta {
  readonly reasoning?: string
  readonly content?: string
}

/** `start` and `answer`: before any content; `thinking`: after the start tag; then the texts themselves. */
type State = 'start' | 'thinking' | 'reasoning' | 'answer' | 'content'

/**
 * Separates reasoning from content. Blanks beside the tags belong to neither, and of the content only line ends are
 * taken away, since its first line may be indented. Reasoning without an end stays reasoning; an end without a start is
 * content, because what stands before it was given out as such.
 */
export class ReasoningParser implements TextParser<ReasoningDelta> {
  readonly #format: ReasoningFormat
  readonly #scanner: TextScanner
  readonly #answerScanner: TextScanner
  #state: State
  /** Blanks of which it is not known yet whether they count. */
  #space = ''
  /** Beginning of a tag, in the states that look for tags only. */
  #tag = ''
  #reasoning = ''
  #content = ''
  #numRead = 0
  readonly #ranges: { readonly from: number; to: number }[] = []

  /** @param promptEndsInThinking undefined leaves it to the format */
  constructor(format: ReasoningFormat, promptEndsInThinking?: boolean) {
    this.#format = format
    this.#scanner = new TextScanner([format.end])
    this.#answerScanner = new TextScanner(format.answer ? [format.answer.end] : [])
    const isThinking = promptEndsInThinking ?? format.isImplicit ?? false
    this.#state = isThinking ? 'thinking' : 'start'
    if (isThinking) this.#ranges.push({ from: 0, to: Infinity })
  }

  /** UTF-16 units read. */
  get numRead(): number {
    return this.#numRead
  }

  /** Where in the text the reasoning stood, tags excluded. */
  get ranges(): readonly { readonly from: number; readonly to: number }[] {
    return this.#ranges
  }

  push(text: string): ReasoningDelta {
    for (let i = 0; i < text.length; i++) {
      this.#numRead++
      this.#read(text[i]!)
    }
    return this.#takeDelta()
  }

  finish(): ReasoningDelta {
    const isReasoning = this.#state === 'thinking' || this.#state === 'reasoning'
    if (isReasoning) this.#addReasoning(this.#tag + this.#scanner.flush())
    else {
      const rest = this.#tag + this.#answerScanner.flush()
      // after a tag blanks alone are no content
      if (this.#state !== 'answer' || rest !== '') this.#content += this.#space + rest
    }
    this.#tag = ''
    this.#space = ''
    return this.#takeDelta()
  }

  #takeDelta(): ReasoningDelta {
    const [reasoning, content] = [this.#reasoning, this.#content]
    this.#reasoning = ''
    this.#content = ''
    return { ...(reasoning !== '' && { reasoning }), ...(content !== '' && { content }) }
  }

  #read(letter: string): void {
    if (this.#state === 'reasoning') this.#readReasoning(letter)
    else if (this.#state === 'content') this.#readContent(letter)
    else this.#readTag(letter)
  }

  /** Tags that may stand here. */
  get #tags(): readonly string[] {
    const { start, end, answer } = this.#format
    if (this.#state === 'thinking') return [start]
    const tags = answer ? [start, answer.start, answer.end] : [start]
    return this.#state === 'answer' ? [...tags, end] : tags
  }

  #readTag(letter: string): void {
    if (this.#tag === '' && isSpace(letter)) {
      if (this.#state !== 'answer' || this.#space !== '' || (letter !== '\n' && letter !== '\r')) this.#space += letter
      return
    }
    this.#tag += letter
    const tag = this.#tag
    const tags = this.#tags
    if (tags.includes(tag)) this.#takeTag(tag)
    else if (!tags.some((other) => other.startsWith(tag))) this.#beginText()
  }

  #takeTag(tag: string): void {
    this.#tag = ''
    this.#space = ''
    if (tag !== this.#format.start) {
      this.#state = 'answer'
      return
    }
    // a start tag that repeats the prompt's is no reasoning
    if (this.#state === 'thinking') this.#ranges.pop()
    this.#ranges.push({ from: this.#numRead, to: Infinity })
    this.#state = 'thinking'
  }

  /** No tag stands here, so what was held is text. */
  #beginText(): void {
    const isThinking = this.#state === 'thinking'
    const text = isThinking ? this.#tag : this.#space + this.#tag
    this.#state = isThinking ? 'reasoning' : 'content'
    this.#tag = ''
    this.#space = ''
    for (let i = 0; i < text.length; i++) this.#read(text[i]!)
  }

  #readReasoning(letter: string): void {
    const { text, marker } = this.#scanner.read(letter)
    this.#addReasoning(text)
    if (marker === undefined) return
    this.#ranges.at(-1)!.to = this.#numRead - marker.length
    this.#space = ''
    this.#state = 'answer'
  }

  #addReasoning(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const letter = text[i]!
      if (isSpace(letter)) this.#space += letter
      else {
        this.#reasoning += this.#space + letter
        this.#space = ''
      }
    }
  }

  #readContent(letter: string): void {
    if (!this.#format.answer) {
      this.#content += letter
      return
    }
    const { text, marker } = this.#answerScanner.read(letter)
    for (let i = 0; i < text.length; i++) {
      const letter = text[i]!
      if (letter === '\n') this.#space += letter
      else {
        this.#content += this.#space + letter
        this.#space = ''
      }
    }
    if (marker === undefined) return
    this.#space = ''
    this.#state = 'answer'
  }
}
