import { isSpace } from './text-scanner.ts'

/** `more`: the letter belongs to the value; `end`: it is the value's last; `over`: the value ended before it. */
export type JsonStep = 'more' | 'end' | 'over' | 'bad'

/** Deeper values are refused, so that whoever reads them next does not run out of stack. */
const maxDepth = 256

type State =
  | 'value'
  | 'first-value'
  | 'first-key'
  | 'key'
  | 'colon'
  | 'after'
  | 'string'
  | 'escape'
  | 'hex'
  | 'word'
  | 'number'

/** Checks one JSON value letter by letter (RFC 8259). Models write bare control characters in strings; they pass. */
export class JsonScanner {
  #state: State = 'value'
  /** What is open, outermost first. */
  readonly #open: ('{' | '[')[] = []
  /** The string under way is a key. */
  #isKey = false
  /** Letters left of a word such as `true`, or number of hex digits left. */
  #rest = ''
  #number = ''
  #written = ''

  /** The last letter as JSON has it, empty if it did not belong to the value. */
  get written(): string {
    return this.#written
  }

  read(letter: string): JsonStep {
    const isInString = this.#state === 'string'
    const step = this.#step(letter)
    const belongs = step === 'more' || step === 'end'
    this.#written = !belongs ? '' : isInString && letter < ' ' ? JSON.stringify(letter).slice(1, -1) : letter
    return step
  }

  #step(letter: string): JsonStep {
    switch (this.#state) {
      case 'string':
        if (letter === '"') return this.#endString()
        if (letter === '\\') this.#state = 'escape'
        return 'more'
      case 'escape':
        return this.#readEscape(letter)
      case 'hex':
        if (!/[\da-fA-F]/.test(letter)) return 'bad'
        this.#rest = this.#rest.slice(1)
        if (this.#rest === '') this.#state = 'string'
        return 'more'
      case 'word':
        if (letter !== this.#rest[0]) return 'bad'
        this.#rest = this.#rest.slice(1)
        return this.#rest === '' ? this.#endValue() : 'more'
      case 'number':
        return this.#readNumber(letter)
      default:
        return isSpace(letter) ? 'more' : this.#readMark(letter)
    }
  }

  #readMark(letter: string): JsonStep {
    const state = this.#state
    const inner = this.#open.at(-1)
    if (state === 'first-key' || state === 'key') {
      if (letter === '}' && state === 'first-key') return this.#close()
      if (letter !== '"') return 'bad'
      this.#isKey = true
      this.#state = 'string'
      return 'more'
    }
    if (state === 'colon') {
      if (letter !== ':') return 'bad'
      this.#state = 'value'
      return 'more'
    }
    if (state === 'after') {
      if (letter === (inner === '{' ? '}' : ']')) return this.#close()
      if (letter !== ',') return 'bad'
      this.#state = inner === '{' ? 'key' : 'value'
      return 'more'
    }
    if (letter === ']' && state === 'first-value') return this.#close()
    return this.#beginValue(letter)
  }

  #beginValue(letter: string): JsonStep {
    if (letter === '{' || letter === '[') {
      if (this.#open.length === maxDepth) return 'bad'
      this.#open.push(letter)
      this.#state = letter === '{' ? 'first-key' : 'first-value'
      return 'more'
    }
    if (letter === '"') {
      this.#isKey = false
      this.#state = 'string'
      return 'more'
    }
    const word = words[letter]
    if (word !== undefined) {
      this.#rest = word
      this.#state = 'word'
      return 'more'
    }
    if (letter !== '-' && !isDigit(letter)) return 'bad'
    this.#number = shapeOf(letter)
    this.#state = 'number'
    return 'more'
  }

  #readEscape(letter: string): JsonStep {
    if (letter === 'u') {
      this.#rest = '0000'
      this.#state = 'hex'
    } else if ('"\\/bfnrt'.includes(letter)) this.#state = 'string'
    else return 'bad'
    return 'more'
  }

  #endString(): JsonStep {
    if (!this.#isKey) return this.#endValue()
    this.#state = 'colon'
    return 'more'
  }

  #close(): JsonStep {
    this.#open.pop()
    return this.#endValue()
  }

  #endValue(): JsonStep {
    this.#state = 'after'
    return this.#open.length === 0 ? 'end' : 'more'
  }

  /** The number so far is kept as a shape, in which a run of digits is one letter. */
  #readNumber(letter: string): JsonStep {
    const shape = this.#number
    if (isDigit(letter)) {
      if (shape === '0' || shape === '-0') return 'bad'
      if (!shape.endsWith('9')) this.#number += shape === '' || shape === '-' ? shapeOf(letter) : '9'
      return 'more'
    }
    const isWhole = shape.endsWith('9') || shape.endsWith('0')
    if (letter === '.' && isWhole && !/[.e]/.test(shape)) this.#number += '.'
    else if ((letter === 'e' || letter === 'E') && isWhole && !shape.includes('e')) this.#number += 'e'
    else if ((letter === '+' || letter === '-') && shape.endsWith('e')) this.#number += letter
    else return isWhole ? this.#endNumber(letter) : 'bad'
    return 'more'
  }

  #endNumber(letter: string): JsonStep {
    this.#state = 'after'
    if (this.#open.length === 0) return 'over'
    return isSpace(letter) ? 'more' : this.#readMark(letter)
  }
}

const words: Readonly<Record<string, string>> = { t: 'rue', f: 'alse', n: 'ull' }

function isDigit(letter: string): boolean {
  return letter >= '0' && letter <= '9'
}

/** A leading zero takes no more digits. */
function shapeOf(letter: string): string {
  return letter === '-' || letter === '0' ? letter : '9'
}

/** A whole JSON value with its control characters escaped; undefined where the text is none, or more than one. */
export function scanJson(text: string): string | undefined {
  const { json, step } = scanPrefix(text)
  return step === 'end' ? json : undefined
}

/** The text as far as it is the beginning of a JSON value, and how its last letter stood. */
export function scanPrefix(text: string): { readonly json: string; readonly step: JsonStep } {
  const scanner = new JsonScanner()
  let json = ''
  let step: JsonStep = 'more'
  for (let i = 0; i < text.length; i++) {
    if (step === 'end') return { json, step: 'bad' }
    step = scanner.read(text[i]!)
    if (step === 'bad' || step === 'over') break
    json += scanner.written
  }
  return { json, step }
}

/** The JSON value with which a text begins, as it stands there. */
export function leadingJson(text: string): string | undefined {
  const scanner = new JsonScanner()
  for (let i = 0; i < text.length; i++) {
    const step = scanner.read(text[i]!)
    if (step === 'end' || step === 'over') return text.slice(0, step === 'end' ? i + 1 : i)
    if (step === 'bad') return undefined
  }
  return undefined
}
