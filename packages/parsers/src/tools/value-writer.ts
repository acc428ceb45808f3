import { scanPrefix } from '../json-scanner.ts'

/** Turns the text of a value into JSON. */
export interface ValueWriter {
  /** The JSON that is certain now. */
  push(text: string): string
  /** The rest. */
  end(): string
  /** The rest of a value that was cut off: the beginning of a JSON value. */
  cut(): string
}

/**
 * @param types what the tool's schema allows; undefined where it does not say
 * @param hasLines one line end at either side of the text is markup
 */
export function newValueWriter(types: ReadonlySet<string> | undefined, hasLines: boolean): ValueWriter {
  return types?.size === 1 && types.has('string') ? new StringWriter(hasLines) : new TypedWriter(types, hasLines)
}

/** A string is written as it comes. */
class StringWriter implements ValueWriter {
  readonly #hasLines: boolean
  #hasBegun = false
  #isAtStart = true
  #lineEnd = ''

  constructor(hasLines: boolean) {
    this.#hasLines = hasLines
  }

  push(text: string): string {
    let json = this.#open()
    for (let i = 0; i < text.length; i++) {
      const letter = text[i]!
      const isLineEnd = this.#hasLines && letter === '\n'
      const isMarkup = isLineEnd && this.#isAtStart
      this.#isAtStart = false
      if (isMarkup) continue
      json += this.#lineEnd + (isLineEnd ? '' : escape(letter))
      this.#lineEnd = isLineEnd ? '\\n' : ''
    }
    return json
  }

  end(): string {
    return `${this.#open()}"`
  }

  cut(): string {
    return this.#open() + this.#lineEnd
  }

  #open(): string {
    if (this.#hasBegun) return ''
    this.#hasBegun = true
    return '"'
  }
}

/** Other values are known only at their end. */
class TypedWriter implements ValueWriter {
  readonly #types: ReadonlySet<string> | undefined
  readonly #hasLines: boolean
  #text = ''

  constructor(types: ReadonlySet<string> | undefined, hasLines: boolean) {
    this.#types = types
    this.#hasLines = hasLines
  }

  push(text: string): string {
    this.#text += text
    return ''
  }

  end(): string {
    const text = this.#hasLines ? this.#text.replace(/^\n/, '').replace(/\n$/, '') : this.#text
    return convert(text, this.#types)
  }

  cut(): string {
    const text = this.#text.trim()
    const { json, step } = scanPrefix(text)
    return step === 'more' || step === 'end' ? json : `"${Array.from(text, escape).join('')}`
  }
}

/** JSON of a type that is allowed, else a string: a model that errs shall be seen to err. */
export function convert(text: string, types: ReadonlySet<string> | undefined): string {
  const trimmed = text.trim()
  const word = types?.has('string') ? undefined : pythonWords.get(trimmed)
  const json = isJson(trimmed) ? trimmed : word
  if (json === undefined) return JSON.stringify(text)
  const isAllowed = !types || [...types].some((type) => isOfType(json, type))
  return isAllowed ? json : JSON.stringify(text)
}

/** As Python prints them. */
const pythonWords = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
])

function isOfType(json: string, type: string): boolean {
  const value: unknown = JSON.parse(json)
  if (type === 'integer') return typeof value === 'number' && Number.isInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'null') return value === null
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  // a text in quotes is a string with quotes
  return type !== 'string' && typeof value === type
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return !text.startsWith('"')
  } catch {
    return false
  }
}

function escape(letter: string): string {
  return letter < ' ' || letter === '"' || letter === '\\' ? JSON.stringify(letter).slice(1, -1) : letter
}
