/** Deepest nesting that a body may have; more is an attack on whatever walks it. */
export const maxJsonDepth = 64

/** Most arrays, objects and keys in a body. A long text or list of tokens has few; millions of them block the thread. */
export const maxJsonParts = 200_000

/** The first place where a body exceeds its limits, found before memory is spent on it. Needs no valid JSON. */
export function findExcess(text: string): { readonly at: number; readonly reason: string } | undefined {
  let depth = 0
  let parts = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') i = endOfString(text, i)
    else if (char === '}' || char === ']') depth--
    else if (char === '{' || char === '[' || char === ':') {
      if (char !== ':' && ++depth > maxJsonDepth) return { at: i, reason: `nests deeper than ${maxJsonDepth} levels` }
      if (++parts > maxJsonParts) return { at: i, reason: `has more than ${maxJsonParts} arrays, objects and keys` }
    }
  }
  return undefined
}

/** Place of the closing quote, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '"') return i
    if (text[i] === '\\') i++
  }
  return text.length
}

/** What may come next: `start` states also take the end of an empty container. */
type State = 'value' | 'array start' | 'key' | 'object start' | 'colon' | 'after value'

/**
 * Where text that JSON.parse refuses goes wrong, since its own message often has no position: the first character that
 * no valid JSON could have there (for an escape or a name, its beginning), or the length of a text that ends too early.
 */
export function jsonFaultAt(text: string): number {
  const open: string[] = []
  let state: State = 'value'
  for (let at = 0; ;) {
    at = skip(/[\t\n\r ]*/y, text, at)
    if (at === text.length) return at
    const char = text[at]!
    const closes = char === '}' || char === ']'
    if (closes) {
      const isDue = state === 'after value' || state === `${open.at(-1)} start`
      if (!isDue || open.pop() !== (char === '}' ? 'object' : 'array')) return at
      state = 'after value'
      at++
    } else if (state === 'after value') {
      if (char !== ',' || open.length === 0) return at
      state = open.at(-1) === 'object' ? 'key' : 'value'
      at++
    } else if (state === 'colon') {
      if (char !== ':') return at
      state = 'value'
      at++
    } else if (state === 'key' || state === 'object start') {
      const fault = stringFaultAt(text, at)
      if (fault !== undefined) return fault
      state = 'colon'
      at = endOfString(text, at) + 1
    } else if (char === '{' || char === '[') {
      open.push(char === '{' ? 'object' : 'array')
      state = char === '{' ? 'object start' : 'array start'
      at++
    } else {
      const fault = char === '"' ? stringFaultAt(text, at) : undefined
      if (fault !== undefined) return fault
      const end = char === '"' ? endOfString(text, at) + 1 : skip(scalar, text, at)
      if (end === at) return at
      state = 'after value'
      at = end
    }
  }
}

const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/** The end of what a sticky pattern matches at `at`, or `at`. */
function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

/** Where the string that must begin at `start` is broken; the end of the text if it is not closed. */
function stringFaultAt(text: string, start: number): number | undefined {
  if (text[start] !== '"') return start
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '"') return undefined
    if (text.charCodeAt(i) < 0x20) return i
    if (text[i] !== '\\') continue
    const end = skip(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y, text, i)
    if (end === i) return i
    i = end - 1
  }
  return text.length
}
