import { SlipwayError } from '@slipway/tensor'
import { addAll, alt, chars, checkRules, grammarFault, ref, repeat, seq, text, type Node, type Rules } from './ast.ts'
import { toEbnf } from './ebnf-writer.ts'
import { jsonObjectRules, jsonSchemaRules, type JsonOptions } from './json-schema.ts'
import { complement } from './ranges.ts'
import type { GrammarSource, GrammarSpec, GrammarText } from './spec.ts'
import { taggedArguments } from './tagged-arguments.ts'

/** A model's notation of calls: `open` call `between` call `close`; each one is its name and arguments between texts. */
export interface ToolCallForm {
  readonly open: string
  readonly close: string
  /** Undefined where there is room for one call only. */
  readonly between?: string | undefined
  readonly call: readonly [beforeName: string, beforeArguments: string, end: string]
  /** Arguments as keys and values between tags; undefined: a JSON object. */
  readonly tags?: TagForm | undefined
}

export interface TagForm {
  readonly key: readonly [open: string, close: string]
  readonly value: readonly [open: string, close: string]
  /** Markers that a value may not hold; each begins with `<`, which it has nowhere else. */
  readonly never: readonly string[]
}

export interface ToolDefinition {
  readonly name: string
  /** JSON schema of the arguments; absent: any object. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
  /** False: where the schema cannot be enforced, arguments of any kind will do. */
  readonly strict?: boolean | undefined
}

/** OpenAI's `tool_choice`: calls where the model wants them, at least one, or exactly that tool. */
export type ToolChoice = 'auto' | 'required' | { readonly name: string }

/** What an answer with calls must be. */
export interface ToolCallSpec {
  readonly form: ToolCallForm
  /** Those that may be called. */
  readonly tools: readonly ToolDefinition[]
  /** Whether text without calls is an answer too. */
  readonly isOptional: boolean
  readonly isParallel: boolean
  /** What an answer without calls must be, in place of any text. */
  readonly otherwise?: GrammarSource | undefined
}

interface ToolGrammarOptions {
  readonly parallel?: boolean
  /** With `auto`: what an answer without calls must be. */
  readonly otherwise?: GrammarSource | undefined
}

/** The grammar of an answer that calls tools with arguments that fit their schemas. */
export function toolGrammar(
  form: ToolCallForm,
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  { parallel = true, otherwise }: ToolGrammarOptions = {},
): GrammarSpec {
  const chosen = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
  if (chosen.length === 0)
    throw grammarFault(
      typeof choice === 'string'
        ? 'tools: there are none to call; give at least one'
        : `tool_choice: there is no tool named ${JSON.stringify(choice.name)}; use one of ${tools.map(({ name }) => name).join(', ')}`,
    )
  const isParallel = parallel && form.between !== undefined && typeof choice === 'string'
  const isOptional = choice === 'auto'
  if (otherwise && !isOptional)
    throw grammarFault('tool_choice: an answer that has to call tools can have no other form; give one of them')
  if (otherwise?.kind === 'structuralTag' || otherwise?.kind === 'grammar')
    throw grammarFault(`${otherwise.kind}: cannot be combined with calls of tools; use a JSON schema or a regex`)
  return { toolCalls: { form, tools: chosen, isOptional, isParallel, otherwise } }
}

/** What xgrammar compiles for a spec of which the form is checked; `otherwise` are the rules of the spec's own. */
export function toolCallText(spec: ToolCallSpec, options: JsonOptions, otherwise?: Rules): GrammarText {
  const { form, tools, isOptional, isParallel } = spec
  const rules = new Map<string, Node>([['root', text('')]])
  for (const [i, tool] of tools.entries()) addArguments(rules, `t${i}_`, tool, form.tags, options)
  const begin = form.open + form.call[0]
  const marker = isOptional && !otherwise ? markerOf(begin) : ''
  /** `left` is what has still to be written of the text before the name. */
  const callBehind = (left: string): Node =>
    alt(...tools.map(({ name }, i) => seq(text(left + name + form.call[1]), ref(`t${i}_root`), text(form.call[2]))))
  rules.set('call', callBehind(form.call[0]))
  // behind a marker that stands before each call, text and more calls may come anyway
  const isRepeated = isParallel && !(marker !== '' && form.between!.concat(form.call[0]).includes(marker))
  const more = isRepeated ? [repeat(seq(text(form.between!), ref('call')), 0, Infinity)] : []
  const calls = seq(callBehind(begin.slice(marker.length)), ...more, text(form.close))
  if (otherwise) addAll(rules, 'o_', otherwise)
  const other = otherwise ? ref('o_root') : textNotLike(begin)
  rules.set('root', isOptional && marker === '' ? alt(calls, other) : calls)
  checkRules(rules, 'tools')
  const grammar = toEbnf(rules)
  if (marker === '') return { form: 'ebnf', text: grammar }
  const tag = { type: 'tag', begin: marker, content: { type: 'grammar', grammar }, end: '' }
  const format = { type: 'triggered_tags', triggers: [marker], tags: [tag], stop_after_first: !isParallel }
  return { form: 'structural-tag', text: JSON.stringify({ type: 'structural_tag', format }) }
}

/** With what calls begin in an answer that may hold other text; nothing for JSON without tags. */
function markerOf(begin: string): string {
  return /^(?:<[^<>\s]+>|\[[^[\]\s]+\]|[^\s{[]+)/.exec(begin)?.[0] ?? ''
}

/** An answer whose first letter, blanks aside, begins no call. */
function textNotLike(begin: string): Node {
  const first = [...begin.slice(0, 1), ' ', '\n', '\r', '\t'].map((letter) => letter.charCodeAt(0))
  const other = complement(first.sort((a, b) => a - b).map((code) => [code, code] as const))
  return seq(chars(...other), repeat(chars(...complement([])), 0, Infinity))
}

/** Adds the rules of a tool's arguments, under names that begin with `prefix`. */
function addArguments(
  rules: Map<string, Node>,
  prefix: string,
  { name, parameters = { type: 'object' }, strict = true }: ToolDefinition,
  tags: TagForm | undefined,
  options: JsonOptions,
): void {
  const add = (isLoose: boolean): void => {
    if (tags) addAll(rules, prefix, taggedArguments(parameters, tags, { ...options, isLoose }))
    else addAll(rules, prefix, isLoose ? jsonObjectRules(options) : jsonSchemaRules(parameters, options))
  }
  try {
    add(false)
  } catch (error) {
    if (!SlipwayError.is(error) || error.kind !== 'request') throw error
    if (strict) throw grammarFault(`the arguments of the tool ${name}: ${error.message}`)
    add(true)
  }
}
