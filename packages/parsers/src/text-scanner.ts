import { MarkerSearch } from './marker-search.ts'

/**
 * Splits text that comes letter by letter into plain text and markers. Plain text is given out as soon as it cannot be
 * the beginning of a marker.
 */
export class TextScanner {
  readonly #search: MarkerSearch
  #held = ''

  constructor(markers: Iterable<string>) {
    this.#search = new MarkerSearch(markers)
  }

  /** True when no letter is held back. */
  get isEmpty(): boolean {
    return this.#held === ''
  }

  /** The text that is certain now, and the marker after it if one ends here. */
  read(letter: string): { readonly text: string; readonly marker: string | undefined } {
    const text = this.#held + letter
    const marker = this.#search.read(letter)
    const keep = marker === undefined ? this.#search.held : marker.length
    this.#held = marker === undefined ? text.slice(text.length - keep) : ''
    return { text: text.slice(0, text.length - keep), marker }
  }

  /** What was held back. */
  flush(): string {
    const text = this.#held
    this.#held = ''
    this.#search.reset()
    return text
  }
}

export function isSpace(letter: string): boolean {
  return letter === ' ' || letter === '\n' || letter === '\r' || letter === '\t'
}
