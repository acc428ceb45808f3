import { SlipwayError } from '@slipway/tensor'

/** An inclusive range of code points. */
export type CodeRange = readonly [low: number, high: number]

/** A piece of a context-free grammar over characters. */
export type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'chars'; readonly ranges: readonly CodeRange[] }
  | { readonly type: 'seq'; readonly parts: readonly Node[] }
  | { readonly type: 'alt'; readonly options: readonly Node[] }
  | { readonly type: 'repeat'; readonly of: Node; readonly min: number; readonly max: number }
  /** Characters, and what stands behind the last. */
  | Counted
  | { readonly type: 'ref'; readonly rule: string }

/** A counted run of characters, each of which ends where no other goes on, and a text behind it that none begins with. */
export interface Counted {
  readonly type: 'counted'
  readonly of: Node
  readonly min: number
  readonly max: number
  readonly end: string
}

export const empty: Node = { type: 'text', text: '' }
export const text = (value: string): Node => ({ type: 'text', text: value })
export const chars = (...ranges: CodeRange[]): Node => ({ type: 'chars', ranges })
export const seq = (...parts: Node[]): Node => (parts.length === 1 ? parts[0]! : { type: 'seq', parts })
export const alt = (...options: Node[]): Node => (options.length === 1 ? options[0]! : { type: 'alt', options })
export const repeat = (of: Node, min: number, max: number): Node => ({ type: 'repeat', of, min, max })
export const optional = (of: Node): Node => alt(empty, of)
export const ref = (rule: string): Node => ({ type: 'ref', rule })

/** Rules by name; generation starts at `root`. */
export type Rules = ReadonlyMap<string, Node>

export const maxCodePoint = 0x10ffff
/** Beyond this the automaton is too large to be worth anybody's memory. */
export const maxGrammarSize = 200_000
/** Counted characters that are written as rules of their own. */
export const countedBlock = 8

/** Adds the rules of another grammar, whose names then begin with `prefix`. */
export function addAll(rules: Map<string, Node>, prefix: string, others: Rules): void {
  for (const [name, node] of others) rules.set(prefix + name, renamed(node, prefix))
}

function renamed(node: Node, prefix: string): Node {
  switch (node.type) {
    case 'ref':
      return ref(prefix + node.rule)
    case 'seq':
      return { type: 'seq', parts: node.parts.map((part) => renamed(part, prefix)) }
    case 'alt':
      return { type: 'alt', options: node.options.map((option) => renamed(option, prefix)) }
    case 'repeat':
    case 'counted':
      return { ...node, of: renamed(node.of, prefix) }
    default:
      return node
  }
}

/** A fault of the text that asked for a grammar. */
export function grammarFault(message: string): SlipwayError {
  return new SlipwayError('request', message, { param: 'structuredOutputs', code: 'invalid_grammar' })
}

/** Size when repetitions are written out, which is what a matcher pays for. */
export function sizeOf(node: Node): number {
  switch (node.type) {
    case 'text':
      return 1 + node.text.length
    case 'chars':
      return 1 + node.ranges.length
    case 'seq':
      return node.parts.reduce((sum, part) => sum + sizeOf(part), 1)
    case 'alt':
      return node.options.reduce((sum, option) => sum + sizeOf(option), 1)
    case 'repeat':
      return 1 + sizeOf(node.of) * Math.max(1, node.max === Infinity ? node.min : node.max)
    case 'counted':
      // its rules are shared by all of the kind
      return sizeOf(node.of) + Math.ceil((node.max === Infinity ? node.min : node.max) / countedBlock)
    case 'ref':
      return 1
  }
}

/** Refuses grammars that are too large, accept nothing, or loop without reading a character. */
export function checkRules(rules: Rules, what: string): void {
  let size = 0
  for (const node of rules.values()) size += sizeOf(node)
  if (size > maxGrammarSize)
    throw grammarFault(
      `${what}: is too large (${size} states, at most ${maxGrammarSize}); lower its repetitions, lengths or lists`,
    )
  const finite = fixpoint(rules, (node, known) => canEnd(node, known))
  if (!finite.has('root')) throw grammarFault(`${what}: refers to itself without end, so nothing fits it`)
  const nullable = nullableRules(rules)
  const open = new Set<string>()
  const closed = new Set<string>()
  const visit = (name: string): void => {
    if (closed.has(name)) return
    if (open.has(name)) throw grammarFault(`${what}: refers to itself with nothing in between`)
    open.add(name)
    for (const next of firstRefs(rules.get(name)!, nullable)) visit(next)
    open.delete(name)
    closed.add(name)
  }
  visit('root')
}

function fixpoint(rules: Rules, holds: (node: Node, known: ReadonlySet<string>) => boolean): Set<string> {
  const known = new Set<string>()
  for (let grew = true; grew;) {
    grew = false
    for (const [name, node] of rules)
      if (!known.has(name) && holds(node, known)) {
        known.add(name)
        grew = true
      }
  }
  return known
}

/** Does it accept any finite text? */
function canEnd(node: Node, known: ReadonlySet<string>): boolean {
  if (node.type === 'ref') return known.has(node.rule)
  if (node.type === 'seq') return node.parts.every((part) => canEnd(part, known))
  if (node.type === 'alt') return node.options.some((option) => canEnd(option, known))
  if (node.type === 'repeat' || node.type === 'counted') return node.min === 0 || canEnd(node.of, known)
  return node.type === 'text' || node.ranges.length > 0
}

/** Rules that accept the empty text. */
export function nullableRules(rules: Rules): Set<string> {
  return fixpoint(rules, isNullable)
}

/** Whether it accepts the empty text, with `known` rules that do. */
export function isNullable(node: Node, known: ReadonlySet<string>): boolean {
  if (node.type === 'ref') return known.has(node.rule)
  if (node.type === 'seq') return node.parts.every((part) => isNullable(part, known))
  if (node.type === 'alt') return node.options.some((option) => isNullable(option, known))
  if (node.type === 'repeat') return node.min === 0 || isNullable(node.of, known)
  return node.type === 'text' && node.text === ''
}

/** Rules that may stand at the very start. */
function firstRefs(node: Node, nullable: ReadonlySet<string>): string[] {
  if (node.type === 'ref') return [node.rule]
  if (node.type === 'alt') return node.options.flatMap((option) => firstRefs(option, nullable))
  if (node.type === 'repeat' || node.type === 'counted') return firstRefs(node.of, nullable)
  if (node.type !== 'seq') return []
  const found: string[] = []
  for (const part of node.parts) {
    found.push(...firstRefs(part, nullable))
    if (!isNullable(part, nullable)) break
  }
  return found
}
