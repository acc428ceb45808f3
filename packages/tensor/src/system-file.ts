import { readFileSync } from 'node:fs'

/** Text of one of the system's files; undefined where there is none. Tests put others in its place. */
export type ReadSystemFile = (path: string) => string | undefined

export const readSystemFile: ReadSystemFile = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
