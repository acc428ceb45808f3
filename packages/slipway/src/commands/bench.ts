import { writeFile } from 'node:fs/promises'
import { profileModel, type LLMOptions } from '@slipway/engine'
import { machineInfo, SlipwayError } from '@slipway/tensor'
import { Command, Option } from 'commander'
import { measureRates, type RateCase } from '../bench-rates.ts'
import { profileReport, ratesReport } from '../bench-report.ts'
import { toCount } from '../config/flags.ts'
import { kebab } from '../config/settings.ts'
import { addEngineFlags, engineOptions } from '../flags.ts'
import { benchServeCommand } from './bench-serve.ts'
import { loadModel, loadReporter, modelPath } from '../loading.ts'

interface Flags {
  readonly profile?: true
  readonly rounds: number
  readonly json?: string
  readonly prompt?: number[]
  readonly tokens?: number
  readonly batch?: number[]
  readonly rows?: number
  readonly sequences?: number
  readonly context?: number
}

/** Flags that only one of the two ways of measuring has a use for. */
const rateFlags = ['prompt', 'tokens', 'batch', 'kvCacheMemory', 'maxWaitingRequests', 'chatTemplate'] as const
const profileFlags = ['rows', 'sequences', 'context'] as const

/** Measures a model on this machine: its rates, or where the time of a step goes. */
export function benchCommand(): Command {
  const command = new Command('bench')
    .description('measure the speed of a model: rates, or with --profile the time of every op')
    .argument('[model]')
    // flags after "serve" are those of serve
    .enablePositionalOptions()
    .addCommand(benchServeCommand())
    .addOption(list('--prompt <n,...>', 'lengths of the prompts (default: 128,512)'))
    .addOption(new Option('--tokens <n>', 'new tokens of each sequence (default: 64)').argParser(toCount(2)))
    .addOption(list('--batch <n,...>', 'sequences at once (default: 1,4)'))
    .option('--profile', 'time, bandwidth and arithmetic of every op of one step, beside what the machine can do')
    .addOption(new Option('--rows <n>', 'profile: tokens of each sequence (default: 1, decode)').argParser(toCount(1)))
    .addOption(new Option('--sequences <n>', 'profile: sequences of the step (default: 1)').argParser(toCount(1)))
    .addOption(new Option('--context <n>', 'profile: tokens before (default: 0)').argParser(toCount(0)))
    .addOption(new Option('--rounds <n>', 'measured rounds, after a warm-up').default(5).argParser(toCount(1)))
    .option('--json <file>', 'file for the results')
  return addEngineFlags(command).action(async (model: string | undefined, flags: Flags) => {
    refuseFlags(flags)
    // rounds and cases may share beginnings, which are not to be answered from memory
    const options = { ...engineOptions({ ...flags }), prefixCaching: false }
    const { text, result } = await (flags.profile ? profile(model, flags, options) : rates(model, flags, options))
    console.log(text)
    const { processor, cores } = machineInfo()
    const facts = { processor, cores, node: process.version, date: new Date().toISOString() }
    if (flags.json) await writeFile(flags.json, `${JSON.stringify({ machine: facts, ...result }, undefined, 2)}\n`)
  })
}

interface Report {
  readonly text: string
  readonly result: object
}

async function profile(model: string | undefined, flags: Flags, options: LLMOptions): Promise<Report> {
  const { rows = 1, sequences = 1, context = 0, rounds } = flags
  const { report, done } = loadReporter()
  try {
    const shape = { rows, sequences, context }
    const result = await profileModel(modelPath(model), shape, { ...options, rounds, onProgress: report })
    return { text: profileReport(result), result }
  } finally {
    done()
  }
}

async function rates(model: string | undefined, flags: Flags, options: LLMOptions): Promise<Report> {
  const { prompt = [128, 512], tokens = 64, batch = [1, 4], rounds } = flags
  const cases = prompt.flatMap((length) => batch.map((sequences): RateCase => ({ prompt: length, tokens, sequences })))
  const mostSequences = Math.max(...batch)
  if (options.maxNumSeqs !== undefined && options.maxNumSeqs < mostSequences)
    throw new SlipwayError(
      'request',
      `option maxNumSeqs: ${options.maxNumSeqs} is below --batch ${mostSequences}; raise it, or leave it away`,
    )
  // no more memory than the cases need
  const length = Math.max(...prompt) + tokens
  const llm = await loadModel(model, { maxModelLen: length, maxNumSeqs: mostSequences, ...options })
  try {
    const measured = await measureRates(llm, cases, rounds)
    return { text: ratesReport(llm.info, rounds, measured), result: { ...llm.info, cases: measured } }
  } finally {
    await llm.close()
  }
}

function refuseFlags(flags: Flags): void {
  const given: Readonly<Record<string, unknown>> = { ...flags }
  const unused = (flags.profile ? rateFlags : profileFlags).find((name) => given[name] !== undefined)
  if (unused === undefined) return
  const reason = flags.profile ? 'a profile has no use for it' : 'it belongs to --profile'
  throw new SlipwayError('request', `--${kebab(unused)}: ${reason}; leave it away`, { param: unused })
}

function list(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => text.split(',').map(toCount(1)))
}
