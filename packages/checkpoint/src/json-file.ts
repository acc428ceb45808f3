import { readFile } from 'node:fs/promises'
import { SlipwayError } from '@slipway/tensor'

export type JsonObject = { readonly [key: string]: unknown }

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value as it should appear in an error message: short, on one line. */
export function show(value: unknown): string {
  const text = value === undefined ? 'undefined' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** True for the error that Node gives when a path does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

/** The file as text, without the byte order mark that some editors add; undefined when there is no such file. */
export async function readText(path: string): Promise<string | undefined> {
  let text: string
  try {
    // as one piece: with an encoding Node decodes large files bit by bit
    text = (await readFile(path)).toString()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw new SlipwayError(
      'checkpoint',
      `${path}: cannot be read: ${messageOf(error)}`,
      { file: path },
      { cause: error },
    )
  }
  return text.startsWith('\ufeff') ? text.slice(1) : text
}

/** The file as a JSON object; undefined when there is no such file, a `checkpoint` error when it is anything else. */
export async function readJsonObject(path: string): Promise<JsonObject | undefined> {
  const text = await readText(path)
  return text === undefined ? undefined : parseJsonObject(text, path)
}

/** The file as whatever JSON it holds; undefined when there is no such file. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path)
  return text === undefined ? undefined : parseJson(text, path)
}

export function parseJsonObject(text: string, path: string): JsonObject {
  const json = parseJson(text, path)
  if (isObject(json)) return json
  throw new SlipwayError('checkpoint', `${path}: expected a JSON object, found ${show(json)}`, { file: path })
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const pointer = text.startsWith('version https://git-lfs')
    const remedy = pointer ? 'it is a Git LFS pointer; run "git lfs pull"' : 'download the file again'
    const message = `${path}: not valid JSON (${messageOf(error)}); ${remedy}`
    throw new SlipwayError('checkpoint', message, { file: path }, { cause: error })
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Freezes a tree of plain objects and arrays, so that a config can be shared and never changes. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const child of Object.values(value)) deepFreeze(child)
  return value
}
