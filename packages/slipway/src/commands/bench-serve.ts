import { writeFile } from 'node:fs/promises'
import { resolveModel, Tokenizer } from '@slipway/checkpoint'
import { serve } from '@slipway/server'
import { machineInfo, SlipwayError } from '@slipway/tensor'
import { Command, Option } from 'commander'
import { readFlags, toCount, toNumber } from '../config/flags.ts'
import { modelConfigSchema } from '../config/schema.ts'
import { kebab, settingsOf } from '../config/settings.ts'
import { addEngineFlags, engineOptions } from '../flags.ts'
import { firstModel, traceRequest, type Target } from '../load/client.ts'
import { figuresOf, parseGoals, type Goals } from '../load/figures.ts'
import { loadChart, loadReport } from '../load/report.ts'
import { runLoad } from '../load/run-load.ts'
import { checkWorkload, sessionsOf, workloads, type WorkloadOptions } from '../load/workload.ts'
import { loadModel, modelPath, servedName } from '../loading.ts'

interface Flags {
  readonly prefixLen?: number
  readonly turns?: number
  readonly requestRate?: number
  readonly burstiness?: number
  readonly url?: string
  readonly apiKey?: string
  readonly endpoint: Target['endpoint']
  readonly workload: WorkloadOptions['workload']
  readonly numPrompts: number
  readonly inputLen: number
  readonly outputLen: number
  readonly seed: number
  readonly maxConcurrency?: number
  readonly tokenizer?: string
  readonly ignoreEos?: true
  readonly goodput: string[]
  readonly json?: string
  readonly svg?: string
}

/** Exit code when requests failed. */
const someFailed = 2

/** Measures a server under load, as its clients see it. */
export function benchServeCommand(): Command {
  const count = (flag: string, text: string): Option => new Option(`--${flag} <n>`, text).argParser(toCount(1))
  const command = new Command('serve')
    .description('measure a server under load: a running one, or a model that is served for the time')
    .argument('[model]', 'the model to serve, or with --url the name to ask for')
    .option('--url <url>', 'an OpenAI-compatible server, without /v1')
    .option('--api-key <key>', 'its key (default: OPENAI_API_KEY)')
    .addOption(new Option('--endpoint <type>', 'the route').choices(['chat', 'completions']).default('chat'))
    .addOption(new Option('--workload <type>', 'what is asked').choices(workloads).default('random'))
    .addOption(count('num-prompts', 'requests, or conversations of multi-turn').default(32))
    .addOption(count('input-len', 'tokens of each prompt, after a shared prefix if there is one').default(128))
    .addOption(count('output-len', 'most new tokens').default(64))
    .addOption(count('prefix-len', 'shared-prefix: tokens that all prompts begin with (default: 512)'))
    .addOption(count('turns', 'multi-turn: questions of each conversation (default: 3)'))
    .addOption(new Option('--request-rate <n>', 'requests per second (default: all at once)').argParser(toNumber))
    .addOption(
      new Option('--burstiness <n>', '1 is Poisson, less comes in bursts (default: 1, bursty: 0.25)').argParser(
        toNumber,
      ),
    )
    .addOption(count('max-concurrency', 'requests at once (default: no limit)'))
    .addOption(new Option('--seed <n>', 'the same seed asks the same').argParser(toCount(0)).default(0))
    .option('--tokenizer <model>', 'model whose tokenizer counts prompts (default: that of MODEL; with --url, words)')
    .option('--ignore-eos', 'go on after end of text; always done for a model that is served for the time')
    .option('--goodput <goal...>', 'what a good request keeps to, in ms: ttft:500 tpot:50 e2e:2000', [])
    .option('--json <file>', 'file for the results')
    .option('--svg <file>', 'file for a drawing of them')
  return addEngineFlags(command).action(async (model: string | undefined, flags: Flags) => {
    checkFlags(flags)
    const goals = parseGoals(flags.goodput)
    const tokenizer = await tokenizerOf(model, flags)
    const { target, close } = await open(model, flags)
    try {
      const { asked, figures, errors } = await measure(target, flags, goals, tokenizer)
      const title = `${target.model}, ${flags.workload}: ${flags.numPrompts} x ${flags.inputLen} in, ${flags.outputLen} out`
      console.log(loadReport(title, figures))
      for (const error of errors) console.error(`failed: ${error}`)
      const { processor, cores } = machineInfo()
      const machine = { processor, cores, node: process.version, date: new Date().toISOString() }
      const result = { machine, model: target.model, url: flags.url ?? null, ...asked, goals, ...figures }
      if (flags.json) await writeFile(flags.json, `${JSON.stringify(result, undefined, 2)}\n`)
      if (flags.svg) await writeFile(flags.svg, loadChart(title, figures))
      if (figures.numFailed > 0) process.exitCode = someFailed
    } finally {
      await close()
    }
  })
}

async function measure(target: Target, flags: Flags, goals: Goals, tokenizer: Tokenizer | undefined) {
  const { workload, numPrompts, inputLen, outputLen, prefixLen = 512, turns = 3, requestRate, seed } = flags
  const { burstiness = workload === 'bursty' ? 0.25 : 1, maxConcurrency = numPrompts } = flags
  const asked = { workload, numPrompts, inputLen, prefixLen, turns, requestRate, burstiness, seed }
  // connections, code and caches of the server are warm after it; nothing of it is asked again
  const [warmUp] = sessionsOf({ ...asked, workload: 'random', numPrompts: 1, seed: seed + 2 }, tokenizer)
  const first = await traceRequest(target, [{ role: 'user', content: warmUp!.turns[0]! }])
  if (first.error !== undefined) throw new SlipwayError('request', `${target.url}: ${first.error}`)
  const errors = new Set<string>()
  const run = await runLoad(target, sessionsOf(asked, tokenizer), maxConcurrency, ({ error }) => {
    // a few tell enough
    if (error !== undefined && errors.size < 3) errors.add(error)
  })
  return { asked: { ...asked, outputLen, maxConcurrency }, figures: figuresOf(run, goals), errors }
}

function checkFlags(flags: Flags): void {
  checkWorkload({ ...flags }, flags.workload)
  for (const [name, value] of Object.entries({ 'request-rate': flags.requestRate, burstiness: flags.burstiness }))
    if (value !== undefined && !(value > 0 && Number.isFinite(value)))
      throw new SlipwayError('request', `--${name}: ${value} is not above 0`)
  if (flags.url === undefined) return
  if (!URL.canParse(flags.url) || !/^https?:/.test(flags.url))
    throw new SlipwayError('request', `--url: "${flags.url}" is no address; write it as http://127.0.0.1:8000`)
  const [name] = readFlags({ ...flags }, settingsOf(modelConfigSchema)).keys()
  if (name !== undefined)
    throw new SlipwayError('request', `--${kebab(name)}: it is for a model that is served here; leave it or --url away`)
}

async function tokenizerOf(
  model: string | undefined,
  { url, tokenizer, ...flags }: Flags,
): Promise<Tokenizer | undefined> {
  if (url !== undefined && tokenizer === undefined) return undefined
  const { revision, cacheDir, offline } = url === undefined ? engineOptions({ ...flags }) : {}
  return Tokenizer.load(await resolveModel(tokenizer ?? modelPath(model), { revision, cacheDir, offline }))
}

/** A running server, or one of our own on a free port. */
async function open(model: string | undefined, flags: Flags): Promise<{ target: Target; close: () => Promise<void> }> {
  const { endpoint, outputLen, ignoreEos = flags.url === undefined } = flags
  const asked = { endpoint, outputLen, ignoreEos }
  if (flags.url !== undefined) {
    const url = flags.url.replace(/\/+$/, '')
    const apiKey = flags.apiKey ?? process.env['OPENAI_API_KEY']
    const target = { ...asked, url, apiKey, model: model ?? (await firstModel(url, apiKey)) }
    return { target, close: async () => undefined }
  }
  const llm = await loadModel(model, engineOptions({ ...flags }))
  const name = servedName(model)
  const settings = { host: '127.0.0.1', port: 0, playground: false, logLevel: 'error' } as const
  const server = await serve(llm, { ...settings, servedModelNames: [name] })
  const close = async (): Promise<void> => {
    await server.close()
    await llm.close()
  }
  return { target: { ...asked, url: server.url, apiKey: undefined, model: name }, close }
}
