import { grammarFault } from './ast.ts'
import { toEbnf } from './ebnf-writer.ts'
import { checkEbnf } from './ebnf.ts'
import { isSchema, show, type Schema } from './json-common.ts'
import { jsonSchemaRules, type JsonOptions } from './json-schema.ts'
import { regexRules } from './regex.ts'

const limits = { depth: 32, parts: 1000 }

/**
 * A structural tag as xgrammar reads it. JSON schemas and expressions within are replaced by grammars of ours, so that
 * they hold what they hold alone. Takes the older form `{ structures: [{ begin, schema, end }], triggers }` as well.
 */
export function structuralTagText(tag: unknown, options: JsonOptions): string {
  if (!isSchema(tag)) throw grammarFault(`structuralTag: must be an object, found ${show(tag)}`)
  const walk = new Walk(options)
  const format = 'structures' in tag ? legacyFormat(tag) : (tag['format'] ?? tag)
  return JSON.stringify({ type: 'structural_tag', format: walk.format(format, 'structuralTag.format', 0) })
}

function legacyFormat({ structures, triggers }: Schema): unknown {
  if (!Array.isArray(structures) || !structures.every(isSchema))
    throw grammarFault('structuralTag.structures: must be a list of { begin, schema, end }')
  const tags = structures.map(({ begin, schema, end }) => ({
    begin,
    content: { type: 'json_schema', json_schema: schema },
    end,
  }))
  return { type: 'triggered_tags', triggers, tags }
}

class Walk {
  readonly #options: JsonOptions
  #numParts = 0

  constructor(options: JsonOptions) {
    this.#options = options
  }

  format(format: unknown, where: string, depth: number): Schema {
    if (depth > limits.depth) throw grammarFault(`${where}: is nested deeper than ${limits.depth} levels`)
    if (++this.#numParts > limits.parts)
      throw grammarFault(`structuralTag: has more than ${limits.parts} parts; make it smaller`)
    if (!isSchema(format)) throw grammarFault(`${where}: must be an object, found ${show(format)}`)
    const type = format['type']
    const list = (key: string): Schema[] => {
      const items = format[key]
      if (!Array.isArray(items) || items.length === 0)
        throw grammarFault(`${where}.${key}: must be a list with a member`)
      return items.map((item, i) => this.format(item, `${where}.${key}[${i}]`, depth + 1))
    }
    const texts = (key: string): string[] => {
      const items = format[key]
      const isFine = Array.isArray(items) && items.length > 0 && items.every((t) => typeof t === 'string' && t !== '')
      if (!isFine) throw grammarFault(`${where}.${key}: must be a list of texts, none of them empty`)
      return items as string[]
    }
    const one = (key: string): string => {
      if (typeof format[key] !== 'string')
        throw grammarFault(`${where}.${key}: must be a text, found ${show(format[key])}`)
      return format[key]
    }
    switch (type) {
      case 'any_text':
        return { type }
      case 'const_string':
        return { type, value: one('value') }
      case 'json_schema':
        return { type: 'grammar', grammar: toEbnf(jsonSchemaRules(format['json_schema'], this.#options)) }
      case 'regex':
        return { type: 'grammar', grammar: toEbnf(regexRules(one('pattern'), `${where}.pattern`)) }
      case 'grammar':
        return { type, grammar: checkEbnf(one('grammar')) }
      case 'sequence':
      case 'or':
        return { type, elements: list('elements') }
      case undefined:
      case 'tag':
        return {
          type: 'tag',
          begin: one('begin'),
          content: this.format(format['content'], `${where}.content`, depth + 1),
          end: one('end'),
        }
      case 'triggered_tags':
        return { type, triggers: texts('triggers'), tags: this.#tags(format, list('tags'), where), ...flags(format) }
      case 'tags_with_separator':
        return { type, tags: list('tags'), separator: one('separator'), ...flags(format) }
      default:
        throw grammarFault(
          `${where}.type: ${show(type)} is not supported; use tag, triggered_tags, sequence, json_schema, regex ...`,
        )
    }
  }

  #tags(format: Schema, tags: Schema[], where: string): Schema[] {
    const triggers = format['triggers'] as string[]
    const lost = tags.find(({ begin }) => !triggers.some((trigger) => String(begin).startsWith(trigger)))
    if (lost) throw grammarFault(`${where}: the tag ${show(lost['begin'])} begins with none of the triggers`)
    return tags
  }
}

function flags({ at_least_one: atLeastOne, stop_after_first: stopAfterFirst }: Schema): Schema {
  return { at_least_one: atLeastOne === true, stop_after_first: stopAfterFirst === true }
}
