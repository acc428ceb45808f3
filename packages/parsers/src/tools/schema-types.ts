/** Longer chains of references are taken for endless. */
const maxReferences = 16

/** The JSON types that a tool's schema allows for a parameter; undefined where it does not say. */
export function typesOf(parameters: unknown, name: string): ReadonlySet<string> | undefined {
  const properties = fieldOf(parameters, 'properties')
  return typesIn(fieldOf(properties, name), parameters, maxReferences)
}

function typesIn(schema: unknown, root: unknown, left: number): ReadonlySet<string> | undefined {
  const type = fieldOf(schema, 'type')
  if (typeof type === 'string') return new Set([type])
  if (Array.isArray(type)) return new Set(type.filter((entry) => typeof entry === 'string'))
  if (left === 0) return undefined
  const reference = fieldOf(schema, '$ref')
  if (typeof reference === 'string') return typesIn(resolve(reference, root), root, left - 1)
  if (Object.hasOwn(Object(schema), 'const')) return new Set([typeOf(fieldOf(schema, 'const'))])
  const values = fieldOf(schema, 'enum')
  if (Array.isArray(values)) return new Set(values.map(typeOf))
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    const parts = fieldOf(schema, key)
    if (!Array.isArray(parts)) continue
    const types = parts.map((part) => typesIn(part, root, left - 1))
    if (key === 'allOf') return types.find((some) => some !== undefined)
    // a part that allows everything
    if (types.includes(undefined)) return undefined
    return new Set(types.flatMap((some) => [...some!]))
  }
  return undefined
}

/** `#/$defs/Place` */
function resolve(reference: string, root: unknown): unknown {
  if (!reference.startsWith('#/')) return undefined
  return reference.slice(2).split('/').reduce(fieldOf, root)
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
