import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './pages.ts'

// The parsers that the commands themselves use, without what they would do.

interface Command {
  readonly commands: readonly Command[]
  readonly options: readonly { readonly long?: string }[]
  exitOverride(): Command
  configureOutput(to: { writeErr(text: string): void; writeOut(text: string): void }): Command
  action(run: (...args: unknown[]) => void): Command
  name(): string
  opts(): Record<string, unknown>
  parseAsync(args: readonly string[], from: { from: 'user' }): Promise<unknown>
}

interface Settings {
  resolveConfig(schema: unknown, flags: object, environment: object): { readonly config: unknown }
}

const dist = (name: string): string => new URL(`../../../packages/slipway/dist/${name}`, import.meta.url).href
const { createProgram } = (await import(dist('program.js'))) as { createProgram(): Command }
const { resolveConfig } = (await import(dist('config/resolve.js'))) as Settings
const schemas = (await import(dist('config/schema.js'))) as { serveConfigSchema: unknown; modelConfigSchema: unknown }

const below = (command: Command): Command[] => command.commands.flatMap((inner) => [inner, ...below(inner)])

/** All flags of all commands. */
export const knownFlags: ReadonlySet<string> = new Set(
  below(createProgram()).flatMap(({ options }) => options.flatMap(({ long }) => long ?? [])),
)

/** Parses as `slipway` would, and checks the values of all settings. Throws what it would tell. */
export async function parseSlipway(args: readonly string[]): Promise<void> {
  const program = createProgram()
  let told = ''
  const write = (text: string): void => void (told += text)
  let isRun = false
  for (const command of [program, ...below(program)]) {
    command.exitOverride().configureOutput({ writeErr: write, writeOut: write })
    if (command !== program)
      command.action(() => {
        isRun = true
        const { config: _, ...flags } = command.opts()
        const schema = command.name() === 'serve' ? schemas.serveConfigSchema : schemas.modelConfigSchema
        resolveConfig(schema, flags, {})
      })
  }
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (/^commander\.(?:help|version)/.test(String((error as { code?: unknown }).code))) return
    throw new Error(told || String(error), { cause: error })
  }
  if (!isRun) throw new Error('no command')
}

/** Checks a file of settings as `--config` reads it. */
export function checkConfigFile(path: string): void {
  resolveConfig(schemas.serveConfigSchema, { config: path }, {})
}

const flagPattern = /\['([\w-]+)', '[^']*',? /g

/** Flags of one of the commands under bench/; undefined where there is no such file. */
export function benchFlags(file: string): ReadonlySet<string> | undefined {
  if (!existsSync(join(root, file))) return undefined
  const flags = [file, 'bench/lib/options.mjs'].flatMap((path) =>
    Array.from(readFileSync(join(root, path), 'utf8').matchAll(flagPattern), ([, flag]) => `--${flag}`),
  )
  return new Set([...flags, '--help'])
}

/** The scripts of `npm run`. */
export const npmScripts: ReadonlySet<string> = new Set(
  Object.keys((JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }).scripts),
)
