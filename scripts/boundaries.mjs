// The house rules that a machine can check: floors, package borders, phantom dependencies, file length.
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { root } from './run.mjs'

/** A package imports only from lower floors (docs/design/house.md). */
const floors = {
  '@slipway/mini': 0,
  '@slipway/playground': 0,
  '@slipway/tensor': 1,
  '@slipway/checkpoint': 2,
  '@slipway/models': 3,
  '@slipway/parsers': 3,
  '@slipway/grammar': 3,
  '@slipway/engine': 4,
  '@slipway/server': 5,
  slipway: 6,
}
const maxLines = 400
const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g

const faults = []
for (const name of readdirSync(join(root, 'packages'))) {
  const home = join(root, 'packages', name)
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
  const floor = floors[manifest.name]
  if (floor === undefined) faults.push(`packages/${name}: ${manifest.name} has no floor in scripts/boundaries.mjs`)
  for (const entry of readdirSync(join(home, 'src'), { recursive: true })) {
    if (!/\.[cm]?ts$/.test(entry)) continue
    const file = join(home, 'src', entry)
    const where = relative(root, file)
    const text = readFileSync(file, 'utf8')
    const isTest = /\.test\.ts$|[/\\]testing[/\\]/.test(file)
    const lines = text.split('\n').length
    if (lines > maxLines) faults.push(`${where}: ${lines} lines, more than ${maxLines}; find the second room in it`)
    for (const match of text.matchAll(importPattern)) {
      const specifier = match[1] ?? match[2] ?? match[3]
      const fault = faultOf(specifier, { file, home, manifest, floor, isTest })
      if (fault) faults.push(`${where}: imports ${specifier}, ${fault}`)
    }
  }
}

function faultOf(specifier, { file, home, manifest, floor, isTest }) {
  if (specifier.startsWith('.')) {
    const inside = resolve(dirname(file), specifier).startsWith(join(home, 'src') + sep)
    return inside ? undefined : "which reaches into another package's files"
  }
  if (specifier.startsWith('node:') || builtinModules.includes(specifier))
    return specifier.startsWith('node:') ? undefined : 'write node: before built-in modules'
  const parts = specifier.split('/')
  const target = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
  if (target in floors && target !== specifier) return "which reaches into another package's files"
  if (target in floors && floors[target] >= floor) return `which is on floor ${floors[target]}, this is floor ${floor}`
  const known = { ...manifest.dependencies, ...manifest.peerDependencies, ...(isTest ? manifest.devDependencies : {}) }
  const shared = isTest ? ['vitest', 'openai'] : []
  if (!(target in known) && !shared.includes(target)) return `which ${manifest.name}'s package.json does not list`
  return undefined
}

for (const fault of faults) console.error(fault)
process.exit(faults.length === 0 ? 0 : 1)
