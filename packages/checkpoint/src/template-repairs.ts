import type { Environment, Template } from '@huggingface/jinja'
import { isObject } from './json-file.ts'

/**
 * Mends what @huggingface/jinja 0.5.11 does otherwise than Python and real templates rely on.
 *
 * `text.lstrip('\n')` and its sisters ignore their argument there and take away every blank. Qwen 3 splits the
 * reasoning from the answer that way, so an indented answer would lose its indent. Such calls become calls of functions
 * whose names no template can spell.
 */
export function repairTemplate(template: Template): void {
  visit(template.parsed, (node) => {
    if (node['type'] !== 'CallExpression' || !Array.isArray(node['args']) || node['args'].length !== 1) return
    const { callee } = node
    if (!isObject(callee) || callee['type'] !== 'MemberExpression' || callee['computed'] === true) return
    const property = callee['property']
    if (!isObject(property) || !isStrip(property['value'])) return
    node['callee'] = { type: 'Identifier', value: `str.${property['value']}` }
    node['args'] = [callee['object'], ...node['args']]
  })
}

/** The functions that repaired templates call. */
export function addRepairs(environment: Environment): void {
  for (const name of strips) {
    environment.set(`str.${name}`, (text: unknown, letters: unknown) => {
      if (typeof text !== 'string') throw new Error(`${name}() is for texts`)
      return strip(text, letters, name)
    })
  }
}

const strips = ['strip', 'lstrip', 'rstrip'] as const
type Strip = (typeof strips)[number]

function isStrip(name: unknown): name is Strip {
  return strips.some((strip) => strip === name)
}

/** As Python's: takes away any of the letters, or blanks if none are given. */
function strip(text: string, letters: unknown, name: Strip): string {
  const all = Array.from(text)
  const isGone = (letter: string): boolean => (typeof letters === 'string' ? letters.includes(letter) : !letter.trim())
  let [begin, end] = [0, all.length]
  if (name !== 'rstrip') while (begin < end && isGone(all[begin]!)) begin++
  if (name !== 'lstrip') while (end > begin && isGone(all[end - 1]!)) end--
  return all.slice(begin, end).join('')
}

/** Calls `change` for every node of a syntax tree, the inner ones first. */
function visit(value: unknown, change: (node: Record<string, unknown>) => void): void {
  if (value instanceof Map) for (const entry of value) visit(entry, change)
  else if (Array.isArray(value)) for (const item of value) visit(item, change)
  else if (isObject(value)) {
    for (const child of Object.values(value)) visit(child, change)
    change(value as Record<string, unknown>)
  }
}
