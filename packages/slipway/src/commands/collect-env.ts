import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { environmentFacts, kernelFacts, limitFacts, machineFacts, type Facts } from '../environment-report.ts'

/** Collects what a report of a fault should have; nothing in it is secret. */
export function collectEnvCommand(): Command {
  return new Command('collect-env')
    .description('print versions, machine, limits and settings, as a report of a fault needs them')
    .option('--json', 'as JSON')
    .action(async ({ json }: { readonly json?: true }) => {
      const sections: Readonly<Record<string, Facts>> = {
        versions: versions(),
        machine: await machineFacts(),
        native: kernelFacts(),
        limits: limitFacts(),
        environment: environmentFacts(process.env),
      }
      const entries = Object.entries(sections)
      if (json) {
        const objects = entries.map(([name, facts]) => [name, Object.fromEntries(facts)] as const)
        return console.log(JSON.stringify(Object.fromEntries(objects), undefined, 2))
      }
      console.log(entries.map(([name, facts]) => sectionText(name, facts)).join('\n\n'))
    })
}

function versions(): Facts {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const parts = ['v8', 'uv', 'openssl', 'napi', 'undici'] as const
  return [
    ['slipway', version],
    ['node', process.version],
    ...parts.flatMap((part) => (process.versions[part] ? [[part, process.versions[part]] as const] : [])),
  ]
}

function sectionText(name: string, facts: Facts): string {
  const lines = facts.map(([fact, value]) => `  ${`${fact}:`.padEnd(22)} ${value}`)
  return [name, ...(lines.length === 0 ? ['  nothing'] : lines)].join('\n')
}
