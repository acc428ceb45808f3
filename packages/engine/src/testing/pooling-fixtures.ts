import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface PoolingCase {
  readonly text: string | [string, string]
  readonly ids: readonly number[]
  readonly typeIds: readonly number[]
  readonly expected: Float32Array
}

/** Directory of a tiny random checkpoint made by tools/goldens/pooling.py. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url))
}

/** What transformers made of some texts. */
export function readGolden(name: string): { cases: PoolingCase[] } {
  const { cases } = JSON.parse(readFileSync(`${fixture(name)}/golden.json`, 'utf8')) as {
    cases: (Omit<PoolingCase, 'expected'> & { data: string })[]
  }
  return {
    cases: cases.map(({ data, ...rest }) => {
      const { buffer } = Uint8Array.from(Buffer.from(data, 'base64'))
      return { ...rest, expected: new Float32Array(buffer) }
    }),
  }
}
