import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Directory of a tiny random checkpoint made by tools/goldens/pooling.py. */
export function fixtureDirectory(name: string): string {
  return fileURLToPath(new URL(`../../../engine/fixtures/${name}`, import.meta.url))
}

interface Golden {
  readonly cases: readonly {
    readonly text: string | [string, string]
    readonly ids: number[]
    readonly expected: Float32Array
  }[]
}

/** What transformers made of some texts. */
export function goldenOf(name: string): Golden {
  const { cases } = JSON.parse(readFileSync(`${fixtureDirectory(name)}/golden.json`, 'utf8')) as {
    cases: { text: string | [string, string]; ids: number[]; data: string }[]
  }
  return {
    cases: cases.map(({ text, ids, data }) => {
      const { buffer } = Uint8Array.from(Buffer.from(data, 'base64'))
      return { text, ids, expected: new Float32Array(buffer) }
    }),
  }
}
