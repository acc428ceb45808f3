// Renews docs/playground: runs the tests of the page, which take the pictures, and keeps those that the documents show.
import { copyFileSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './run.mjs'

const from = join(root, 'artifacts')
const to = join(root, 'docs/playground')
const maxBytes = 200_000

if (!run(process.execPath, ['scripts/test.mjs', 'packages/server/dist/playground'])) process.exit(1)
mkdirSync(to, { recursive: true })
const document = readFileSync(join(root, 'docs/playground.md'), 'utf8')
for (const [, name] of document.matchAll(/\(playground\/([\w-]+\.png)\)/g)) {
  const { size } = statSync(join(from, name))
  if (size > maxBytes) throw new Error(`${name} has ${size} bytes, more than ${maxBytes}`)
  copyFileSync(join(from, name), join(to, name))
  console.log(`docs/playground/${name}: ${size} bytes`)
}
