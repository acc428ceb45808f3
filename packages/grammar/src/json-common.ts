import type { Node } from './ast.ts'

export type Schema = Readonly<Record<string, unknown>>

/** What the parts of the converter share. */
export interface SchemaContext {
  readonly comma: Node
  readonly colon: Node
  /** Layout after an opening and before a closing bracket. */
  readonly gap: Node
  readonly addRule: (node: Node) => Node
  /** The values of a subschema. */
  readonly visit: (schema: unknown, where: string) => Node
}

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value in a message, cut where it is long. */
export function show(value: unknown): string {
  const shown = JSON.stringify(value) ?? String(value)
  return shown.length > 60 ? `${shown.slice(0, 57)}...` : shown
}
