import { didYouMean } from '@slipway/checkpoint'
import type { SlipwayError } from '@slipway/tensor'
import { z } from 'zod'
import { refusal } from '../http/errors.ts'

type Issue = z.core.$ZodIssue

/**
 * Checks a body against a schema; the first fault becomes an error that names the parameter.
 * A parameter that is null counts as absent, as it does at OpenAI.
 */
export function parseRequest<T>(schema: z.ZodType<T>, body: unknown): T {
  const given =
    isObject(body) && !Array.isArray(body)
      ? Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
      : body
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  throw toRefusal(parsed.error.issues[0]!, given, schema instanceof z.ZodObject ? Object.keys(schema.shape) : [])
}

/** `known` are the parameters that there are. */
function toRefusal(outer: Issue, body: unknown, known: readonly string[]): SlipwayError {
  const { issue, path } = innermost(outer, [])
  if (issue.code === 'unrecognized_keys') {
    const param = nameOf([...path, issue.keys[0]!])
    const hint = (path.length === 0 && didYouMean(param, known)) || '; remove it'
    return refusal(`${param}: there is no such parameter${hint}`, { param, code: 'unknown_parameter' })
  }
  const param = nameOf(path)
  const code: unknown = issue.code === 'custom' ? issue.params?.['code'] : undefined
  if (typeof code === 'string') return refusal(`${param}: ${issue.message}`, { param, code })
  if (path.length > 0 && valueAt(body, path) === undefined)
    return refusal(`${param}: is required`, { param, code: 'missing_required_parameter' })
  const message = issue.code === 'invalid_key' ? issue.issues[0]!.message : issue.message
  const text = message.replace(/^Invalid input: /, '')
  return refusal(path.length > 0 ? `${param}: ${text}` : `the body: ${text}`, {
    param: path.length > 0 ? param : null,
    code: issue.code === 'invalid_type' ? 'invalid_type' : 'invalid_value',
  })
}

/** Of a union's branches, the fault of the one that fits furthest says what was meant. */
function innermost(issue: Issue, base: readonly PropertyKey[]): { issue: Issue; path: readonly PropertyKey[] } {
  const path = [...base, ...issue.path]
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { issue, path }
  const branches = issue.errors.flatMap((branch) => (branch[0] ? [innermost(branch[0], path)] : []))
  const deepest = branches.reduce((best, branch) => (branch.path.length > best.path.length ? branch : best), {
    issue,
    path,
  } as ReturnType<typeof innermost>)
  return deepest
}

/** `messages[0].content` */
function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === 'number') return `${name}[${key}]`
    return name === '' ? String(key) : `${name}.${String(key)}`
  }, '')
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), body)
}

function isObject(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null
}
