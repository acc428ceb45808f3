import { isSpace } from '../text-scanner.ts'
import type { CallStep } from './call-body.ts'

/** A fixed text; one that is optional may have a word behind it. */
interface FixedText {
  readonly text: string
  readonly isOptional?: boolean
  readonly hasWord?: boolean
}

/** What stands before the arguments: fixed texts, the name, and words that count as markup. */
export type HeaderPart = 'name' | 'word' | FixedText

/** Reads a header whose parts may have blanks between them. */
export class CallHeader {
  readonly #parts: HeaderPart[]
  /** Letters read of the first part. */
  #read = 0
  #name = ''

  constructor(parts: readonly HeaderPart[]) {
    this.#parts = [...parts]
  }

  get name(): string {
    return this.#name
  }

  /** `over` when the letter is the first one after the header. */
  read(letter: string): CallStep {
    if (isSpace(letter) && this.#read === 0) return 'more'
    for (;;) {
      const part = this.#parts[0]
      if (part === undefined) return 'over'
      if (typeof part === 'string') {
        if (isNameLetter(letter)) {
          if (part === 'name') this.#name += letter
          this.#read++
          return 'more'
        }
        if (this.#read === 0) return 'bad'
        this.#next(0)
        if (isSpace(letter)) return 'more'
      } else if (letter === part.text[this.#read]) {
        this.#read++
        if (this.#read === part.text.length) this.#next(0, part.hasWord ? ['word'] : [])
        return 'more'
      } else if (part.isOptional && this.#fitsNext(part.text.slice(0, this.#read))) this.#next(this.#read)
      else return 'bad'
    }
  }

  /** Two optional texts may begin alike. */
  #fitsNext(begin: string): boolean {
    const next = this.#parts[1]
    return begin === '' || (typeof next === 'object' && next.text.startsWith(begin))
  }

  #next(read: number, parts: readonly HeaderPart[] = []): void {
    this.#parts.splice(0, 1, ...parts)
    this.#read = read
  }
}

/** Names of functions as providers allow them, and letters of other languages. */
function isNameLetter(letter: string): boolean {
  return /[\w.:/\-\p{L}\p{N}]/u.test(letter)
}
