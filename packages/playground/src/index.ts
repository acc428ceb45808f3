import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One file of the page, ready to be sent. */
export interface PageFile {
  readonly type: string
  readonly body: Uint8Array<ArrayBuffer>
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.map': 'application/json',
}

/** Where the built page lies. */
export const pageDirectory: string = fileURLToPath(new URL('./site', import.meta.url))

/**
 * The files of the page by name, `index.html` the first to be asked for; the others have a hash of what they hold in
 * their names. Undefined when it has not been built.
 */
export function readPage(directory: string = pageDirectory): ReadonlyMap<string, PageFile> | undefined {
  if (!existsSync(join(directory, 'index.html'))) return undefined
  const names = readdirSync(directory).filter((name) => types[extname(name)] !== undefined)
  return new Map(
    names.map((name) => [
      name,
      { type: types[extname(name)]!, body: new Uint8Array(readFileSync(join(directory, name))) },
    ]),
  )
}

/** The page may ask its own server, and nobody else; no text of a model can become code. */
export const contentSecurityPolicy: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
