import { refusal } from '../http/errors.ts'
import { batchRoutes, type LineRequest } from './ask-line.ts'

/** A line of OpenAI's batches. */
export interface BatchLine extends LineRequest {
  readonly id: string
}

const maxIdLength = 512

/** Reads a line that is JSON already; a `request` error names what is wrong, with the codes of OpenAI where we know them. */
export function readBatchLine(value: unknown, urls: readonly string[] = batchRoutes): BatchLine {
  if (!isObject(value))
    throw refusal('a line is an object with "custom_id", "url" and "body"', { code: 'invalid_line' })
  const { custom_id: id, method = 'POST', url, body } = value
  if (typeof id !== 'string' || id === '' || id.length > maxIdLength)
    throw fault('custom_id', `"custom_id" must be a text of 1 to ${maxIdLength} characters`, id)
  if (method !== 'POST') throw fault('method', `"method" is ${shown(method)}; only POST is answered`, method)
  if (typeof url !== 'string' || !urls.includes(url)) {
    const remedy = urls.length === 1 ? `this batch is for ${urls[0]}` : `use one of ${urls.join(', ')}`
    throw fault('url', `"url" is ${shown(url)}; ${remedy}`, url)
  }
  if (!isObject(body)) throw fault('body', '"body" must be an object: that of the request', body)
  return { id, url, body }
}

function fault(param: string, message: string, value: unknown) {
  const code = value === undefined ? 'missing_required_parameter' : `invalid_${param}`
  return refusal(message, { param, code })
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'missing').slice(0, 100)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
