import { alt, empty, grammarFault, repeat, seq, text, type Node } from './ast.ts'
import { isSchema, show, type Schema, type SchemaContext } from './json-common.ts'
import { anyString, lengthOf, stringExcept, stringOf } from './json-string.ts'

/**
 * A JSON object under the keywords of a schema. Named properties come in the order of the schema; properties that it
 * does not name are generated only where `additionalProperties` asks for them.
 */
export function objectOf(schema: Schema, where: string, context: SchemaContext, anyValue: () => Node): Node {
  const { comma, colon, gap, addRule, visit } = context
  const properties = recordOf(schema['properties'], `${where}.properties`)
  const names = Object.keys(properties)
  const required = namesOf(schema['required'], `${where}.required`)
  const unnamed = required.find((name) => !Object.hasOwn(properties, name))
  if (unnamed !== undefined)
    throw grammarFault(`${where}.required: ${show(unnamed)} is not among the properties; add it there or remove it`)
  const free = freeMember(schema, names, where, context, anyValue)
  const { min, max } = countsOf(schema, names, required, free !== undefined, where)

  if (names.length === 0) {
    if (!free || max === 0) return seq(text('{'), gap, text('}'))
    return bracket('{', '}', gap, listOf(free, comma, min, max))
  }
  const members = names.map((name) =>
    seq(text(JSON.stringify(name)), colon, visit(properties[name], `${where}.properties.${name}`)),
  )
  // from the end: what may follow when something stands before, and when nothing does yet
  let after: Node = free ? repeat(seq(comma, free), 0, Infinity) : empty
  let start: Node | undefined = free ? addRule(seq(free, after)) : undefined
  let mayBeEmpty = true
  for (let i = names.length - 1; i >= 0; i--) {
    const member = addRule(members[i]!)
    const isRequired = required.includes(names[i]!)
    const withThis = seq(member, after)
    start = isRequired || !start ? addRule(withThis) : addRule(alt(withThis, start))
    mayBeEmpty &&= !isRequired
    const following = seq(comma, member, after)
    after = addRule(isRequired ? following : alt(following, after))
  }
  const content = seq(start!, gap)
  return seq(text('{'), gap, mayBeEmpty && min === 0 ? alt(empty, content) : content, text('}'))
}

/** A property that the schema does not name; undefined where there is none. */
function freeMember(
  schema: Schema,
  names: readonly string[],
  where: string,
  { colon, addRule, visit }: SchemaContext,
  anyValue: () => Node,
): Node | undefined {
  const { additionalProperties: additional, patternProperties: patterns, propertyNames } = schema
  if (patterns !== undefined) {
    const entries = Object.entries(recordOf(patterns, `${where}.patternProperties`))
    if (entries.length !== 1 || names.length > 0 || propertyNames !== undefined)
      throw grammarFault(
        `${where}.patternProperties: can be enforced only as one pattern and without "properties" and "propertyNames"`,
      )
    const [pattern, value] = entries[0]!
    const at = `${where}.patternProperties.${pattern}`
    return addRule(seq(stringOf({ pattern }, at), colon, visit(value, at)))
  }
  const isOpen = additional === undefined ? names.length === 0 : additional !== false
  if (propertyNames !== undefined && names.length > 0)
    throw grammarFault(`${where}.propertyNames: cannot be enforced beside "properties"; remove it`)
  if (!isOpen) return undefined
  const value =
    additional === undefined || additional === true ? anyValue() : visit(additional, `${where}.additionalProperties`)
  return addRule(seq(keyOf(propertyNames, names, `${where}.propertyNames`, addRule, visit), colon, value))
}

function keyOf(
  propertyNames: unknown,
  names: readonly string[],
  where: string,
  addRule: (node: Node) => Node,
  visit: SchemaContext['visit'],
): Node {
  if (propertyNames === undefined) return names.length === 0 ? anyString : stringExcept(names, addRule)
  if (!isSchema(propertyNames) || (propertyNames['type'] !== undefined && propertyNames['type'] !== 'string'))
    throw grammarFault(`${where}: must be a schema of strings`)
  return visit({ ...propertyNames, type: 'string' }, where)
}

function countsOf(
  schema: Schema,
  names: readonly string[],
  required: readonly string[],
  isOpen: boolean,
  where: string,
): { min: number; max: number } {
  const min = lengthOf(schema['minProperties'], 0, `${where}.minProperties`)
  const max = lengthOf(schema['maxProperties'], Infinity, `${where}.maxProperties`)
  if (min > max) throw grammarFault(`${where}: minProperties ${min} is above maxProperties ${max}`)
  // keys that repeat count once, so a larger number of free ones cannot be promised
  if (min > Math.max(1, required.length) || (names.length > 0 && min > required.length && isOpen))
    throw grammarFault(`${where}.minProperties: ${min} cannot be enforced; list the properties in "required"`)
  if (names.length > 0 && max !== Infinity && (isOpen || max < names.length))
    throw grammarFault(`${where}.maxProperties: ${max} cannot be enforced beside "properties"; remove it`)
  if (min > 0 && names.length === 0 && !isOpen) throw grammarFault(`${where}: asks for properties but allows none`)
  return { min, max }
}

/** A JSON array under the keywords of a schema. */
export function arrayOf(schema: Schema, where: string, context: SchemaContext, anyValue: () => Node): Node {
  const { comma, gap, addRule, visit } = context
  const { items, prefixItems, uniqueItems } = schema
  const min = lengthOf(schema['minItems'], 0, `${where}.minItems`)
  const max = lengthOf(schema['maxItems'], Infinity, `${where}.maxItems`)
  if (min > max) throw grammarFault(`${where}: minItems ${min} is above maxItems ${max}`)
  if (uniqueItems !== undefined && uniqueItems !== false && max > 1)
    throw grammarFault(`${where}.uniqueItems: cannot be enforced; remove it, or list the values in an enum`)
  if (Array.isArray(items))
    throw grammarFault(`${where}.items: must be one schema; use "prefixItems" for a list of them`)
  if (prefixItems !== undefined && !Array.isArray(prefixItems))
    throw grammarFault(`${where}.prefixItems: must be a list of schemas`)
  const prefix = ((prefixItems ?? []) as unknown[])
    .slice(0, max)
    .map((item, i) => visit(item, `${where}.prefixItems[${i}]`))
  const isOpen = items === undefined ? prefix.length === 0 || min > prefix.length : items !== false
  const item =
    isOpen && max > prefix.length
      ? addRule(items === undefined ? anyValue() : visit(items, `${where}.items`))
      : undefined
  if (!item && min > prefix.length) throw grammarFault(`${where}: minItems ${min} is more than the items it allows`)
  if (prefix.length === 0) {
    if (!item) return seq(text('['), gap, text(']'))
    return bracket('[', ']', gap, listOf(item, comma, min, max))
  }
  const parts = prefix.flatMap((node, i) => (i === 0 ? [node] : [comma, node]))
  const rest = item ? repeat(seq(comma, item), Math.max(0, min - prefix.length), max - prefix.length) : empty
  return seq(text('['), gap, ...parts, rest, gap, text(']'))
}

/** min to max items with commas between; empty only if min is 0. */
function listOf(item: Node, comma: Node, min: number, max: number): { list: Node; mayBeEmpty: boolean } {
  return { list: seq(item, repeat(seq(comma, item), Math.max(0, min - 1), max - 1)), mayBeEmpty: min === 0 }
}

function bracket(open: string, close: string, gap: Node, { list, mayBeEmpty }: ReturnType<typeof listOf>): Node {
  const content = seq(list, gap)
  return seq(text(open), gap, mayBeEmpty ? alt(empty, content) : content, text(close))
}

function recordOf(value: unknown, where: string): Schema {
  if (value === undefined) return {}
  if (!isSchema(value)) throw grammarFault(`${where}: must be an object, found ${show(value)}`)
  return value
}

function namesOf(value: unknown, where: string): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
    throw grammarFault(`${where}: must be a list of property names, found ${show(value)}`)
  return value as string[]
}
