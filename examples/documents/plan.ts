import { notRun } from './not-run.ts'
import type { Block } from './pages.ts'
import { commandsOf } from './shell.ts'

/** What becomes of a block of commands. */
export interface Plan {
  /** Run as a whole, as somebody would paste it. */
  readonly runs: boolean
  /** Arguments of `slipway serve`, each of which is started, where nothing else is in the block. */
  readonly serves: readonly (readonly string[])[]
  /** Commands that nothing checks: neither run nor excused. */
  readonly unknown: readonly string[]
}

/** What a shell has, and blocks may use around our own commands. */
const utilities = new Set('cat cp echo export grep head ls mkdir openssl printf true'.split(' '))

export function plan({ code, next }: Block): Plan {
  const commands = commandsOf(code)
  const excused = commands.filter(({ words }) => notRun.some(({ begins }) => words.join(' ').startsWith(begins)))
  const ours = commands.filter(({ words: [program, first] }) => program === 'npx' && first === 'slipway')
  const serves = ours.filter(({ words }) => words[2] === 'serve')
  const helping = commands.filter(({ words }) => utilities.has(words[0]!))
  const curls = commands.filter(({ words }) => words[0] === 'curl')
  const runnable = [...ours, ...helping, ...curls]
  // a server that is to fail ends by itself
  const isAwaited = next?.language === 'text'
  const runs = runnable.length === commands.length && (serves.length === 0 || isAwaited)
  if (runs) return { runs, serves: [], unknown: [] }
  const checked = new Set([...excused, ...serves, ...helping])
  return {
    runs,
    serves: isAwaited ? [] : serves.map(({ words }) => words.slice(2)),
    unknown: commands.filter((one) => !checked.has(one)).map(({ text }) => text),
  }
}
