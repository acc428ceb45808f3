import { alt, grammarFault, text, type Node, type Rules } from './ast.ts'
import { toEbnf } from './ebnf-writer.ts'
import { checkEbnf } from './ebnf.ts'
import { show } from './json-common.ts'
import { jsonObjectRules, jsonSchemaRules, type JsonOptions } from './json-schema.ts'
import { regexRules } from './regex.ts'
import { structuralTagText } from './structural-tag.ts'
import { toolCallText, type ToolCallSpec } from './tool-grammar.ts'

/** What a generated text must be: exactly one of the forms. Names are vLLM's, in camel case. */
export interface GrammarSpec {
  /** A JSON schema, as an object or as text: a JSON value that fits it. */
  readonly json?: Readonly<Record<string, unknown>> | boolean | string | undefined
  /** True: any JSON object. */
  readonly jsonObject?: boolean | undefined
  /** The whole text matches this regular expression. */
  readonly regex?: string | undefined
  /** One of these texts. */
  readonly choice?: readonly string[] | undefined
  /** A grammar in EBNF as xgrammar and GBNF write it; it begins at the rule `root`. */
  readonly grammar?: string | undefined
  /** Free text with constrained parts, in xgrammar's notation, as an object or as text. */
  readonly structuralTag?: Readonly<Record<string, unknown>> | string | undefined
  /** Calls of tools, see `toolGrammar`. */
  readonly toolCalls?: ToolCallSpec | undefined
  /** JSON with one space after commas and colons and none elsewhere. */
  readonly disableAnyWhitespace?: boolean | undefined
}

export const grammarKinds = ['json', 'jsonObject', 'regex', 'choice', 'grammar', 'structuralTag', 'toolCalls'] as const
export type GrammarKind = (typeof grammarKinds)[number]

/** A spec whose form is checked: text only, so that it travels between threads and serves as a key. */
export interface GrammarSource {
  readonly kind: GrammarKind
  readonly text: string
  readonly compact: boolean
}

/** What xgrammar compiles. */
export interface GrammarText {
  readonly form: 'ebnf' | 'structural-tag'
  readonly text: string
  /** The same as rules of ours, where it has these and they are not too many to be sent around. */
  readonly rules?: Rules | undefined
}

const limits = { bytes: 256 * 1024, depth: 200, choices: 10_000, ebnf: 1 << 20, followed: 64 * 1024 }

/** Checks size and form without looking deeper, in little time for any input. */
export function toSource(spec: GrammarSpec): GrammarSource {
  const given = grammarKinds.filter((kind) => spec[kind] !== undefined && spec[kind] !== false)
  // false is a schema, though one that nothing fits
  if (spec.json === false) given.unshift('json')
  if (given.length !== 1)
    throw grammarFault(
      given.length === 0
        ? `structuredOutputs: names no constraint; give one of ${grammarKinds.join(', ')}`
        : `structuredOutputs: ${given.join(' and ')} cannot be combined; give one of them`,
    )
  const kind = given[0]!
  const value = kind === 'json' || kind === 'structuralTag' ? fromText(spec[kind], kind) : spec[kind]
  if (kind === 'regex' || kind === 'grammar') {
    if (typeof value !== 'string' || value === '') throw grammarFault(`${kind}: must be a text that is not empty`)
  } else if (kind === 'choice') {
    if (!Array.isArray(value) || value.length === 0 || value.some((one) => typeof one !== 'string' || one === ''))
      throw grammarFault('choice: must be a list of texts, none of them empty')
    if (value.length > limits.choices)
      throw grammarFault(`choice: has ${value.length} texts, at most ${limits.choices}; use a regex`)
  } else checkDepth(value, kind)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (text.length > limits.bytes)
    throw grammarFault(`${kind}: has ${text.length} characters, at most ${limits.bytes} are read; make it smaller`)
  return { kind, text, compact: spec.disableAnyWhitespace ?? false }
}

function fromText(value: unknown, kind: string): unknown {
  if (typeof value !== 'string') return value
  if (value.length > limits.bytes)
    throw grammarFault(`${kind}: has ${value.length} characters, at most ${limits.bytes} are read; make it smaller`)
  try {
    return JSON.parse(value) as unknown
  } catch {
    throw grammarFault(`${kind}: is no JSON: ${show(value)}`)
  }
}

/** Level by level, since a recursion would itself be what it guards against. */
function checkDepth(value: unknown, kind: string): void {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limits.depth) throw grammarFault(`${kind}: is nested deeper than ${limits.depth} levels; flatten it`)
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
}

/** The grammar that a source asks for. Throws `request` naming what cannot be enforced. */
export function toGrammarText({ kind, text: source, compact }: GrammarSource): GrammarText {
  if (kind === 'structuralTag')
    return { form: 'structural-tag', text: structuralTagText(JSON.parse(source), { compact }) }
  if (kind === 'toolCalls') {
    const spec = JSON.parse(source) as ToolCallSpec
    const { otherwise } = spec
    const rules = otherwise && rulesOf(otherwise.kind, otherwise.text, { compact: otherwise.compact })
    return toolCallText(spec, { compact }, rules)
  }
  const rules = kind === 'grammar' ? undefined : rulesOf(kind, source, { compact })
  const ebnf = rules ? toEbnf(rules) : checkEbnf(source)
  if (ebnf.length > limits.ebnf)
    throw grammarFault(`${kind}: makes a grammar of ${ebnf.length} characters, at most ${limits.ebnf}; make it smaller`)
  return { form: 'ebnf', text: ebnf, rules: ebnf.length <= limits.followed ? rules : undefined }
}

/** Whether all of a source is written as rules of ours. */
export function hasRules({ kind }: GrammarSource): boolean {
  return kind !== 'structuralTag' && kind !== 'toolCalls' && kind !== 'grammar'
}

function rulesOf(kind: GrammarKind, source: string, options: JsonOptions): Map<string, Node> {
  if (kind === 'json') return jsonSchemaRules(JSON.parse(source), options)
  if (kind === 'jsonObject') return jsonObjectRules(options)
  if (kind === 'regex') return regexRules(source)
  const choices = JSON.parse(source) as string[]
  return new Map([['root', alt(...choices.map(text))]])
}
