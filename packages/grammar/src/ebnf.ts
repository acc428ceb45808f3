import { grammarFault } from './ast.ts'

const limits = { depth: 100, count: 10_000 }

/** Faults that would exhaust a parser's stack; the rest of the syntax is xgrammar's to judge. */
export function checkEbnf(source: string): string {
  let depth = 0
  let quote = ''
  for (let i = 0; i < source.length; i++) {
    const char = source[i]!
    if (quote !== '') {
      if (char === '\\') i++
      else if (char === quote) quote = ''
    } else if (char === '"') quote = char
    else if (char === '[') quote = ']'
    else if (char === '#') while (i + 1 < source.length && source[i + 1] !== '\n') i++
    else if (char === '(') {
      if (++depth > limits.depth) throw grammarFault(`grammar: nests groups deeper than ${limits.depth}`)
    } else if (char === ')') depth--
  }
  for (const match of source.matchAll(/\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}/g))
    if (Math.max(Number(match[1]), Number(match[2] ?? 0)) > limits.count)
      throw grammarFault(`grammar: has the count ${match[0]}, at most ${limits.count} is supported`)
  return source
}
