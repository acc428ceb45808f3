import { engineOptionsSchema } from '@slipway/engine'
import { serverOptionsSchema } from '@slipway/server'
import type { z } from 'zod'
import { serveConfigSchema } from './schema.ts'
import { settingsOf, type Setting } from './settings.ts'

const introduction = `# Configuration

Generated from the schema that checks the values, by \`node scripts/configuration.mjs\`; do not edit.

A value comes from the first of these that gives it:

1. the flag,
2. the environment variable,
3. the YAML or JSON file that \`--config\` or \`SLIPWAY_CONFIG\` names,
4. the default.

Keys of the file are the flags without dashes in front (\`max-num-seqs\`), or the same in snake or camel case; an unknown
key is refused, with the nearest name. Lists repeat the flag, separate with commas in the environment, and are lists in the
file. Switches take \`--no-\` in front to turn them off, and \`true\` or \`false\` elsewhere. The server writes what is in effect, and
where it came from, to its log when it starts, and shows it at \`GET /config\`; keys are masked in both.

\`\`\`yaml
model: Qwen/Qwen3-0.6B
port: 8000
max-num-seqs: 32
kv-disk-cache:
  directory: /var/cache/slipway
  bytes: 20GB
api-keys:
  - key: a-long-secret
    name: search
    requestsPerMinute: 600
\`\`\`

The other commands that have a model (\`generate\`, \`run-batch\`, \`chat\`, \`complete\`, \`bench\`, \`bench serve\`) take the settings under "Model" and "Engine" in the same ways.
`

/** The text of docs/configuration.md. */
export function configurationPage(): string {
  const settings = settingsOf(serveConfigSchema)
  const names = (schema: z.ZodType): Set<string> => new Set(settingsOf(schema).map(({ name }) => name))
  const server = names(serverOptionsSchema)
  const engine = names(engineOptionsSchema)
  const section = (title: string, belongs: (name: string) => boolean): string =>
    `\n## ${title}\n\n${table(settings.filter(({ name }) => belongs(name)))}`
  return [
    introduction,
    section('Model', (name) => !server.has(name) && !engine.has(name)),
    section('Server', (name) => server.has(name)),
    section('Engine', (name) => engine.has(name)),
  ].join('')
}

function table(settings: readonly Setting[]): string {
  const rows = settings.map(({ flag, variable, kind, choices, preset, description }) => [
    `\`${flag}\``,
    `\`${variable}\``,
    choices ? choices.join(', ') : kind === 'flag' ? 'switch' : kind,
    preset === undefined ? '' : `\`${String(preset)}\``,
    description,
  ])
  const all = [['flag', 'environment', 'value', 'default', 'what'], ...rows].map((row) =>
    row.map((cell) => cell.replaceAll('|', '\\|')),
  )
  // padded as the formatter of this repository pads
  const widths = all[0]!.map((_, i) => Math.max(3, ...all.map((row) => row[i]!.length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`
  const rule = line(widths.map((width) => '-'.repeat(width)))
  return line(all[0]!) + rule + all.slice(1).map(line).join('')
}
