import { SlipwayError } from '@slipway/tensor'
import { Option, type Command } from 'commander'
import { toNumber } from '../config/flags.ts'

/** How "src" lines are answered, in the names of PaddleNLP's predictor. */
const numbers = {
  src_length: 'longest prompt in tokens; of a longer one the end is kept (default: longer ones are errors)',
  max_length: 'most new tokens (default: 1024, or what the model has room for)',
  min_length: 'no end of text before that many new tokens',
  top_k: 'keep that many best tokens',
  top_p: 'keep the smallest set of tokens with this share of probability',
  temperature: '0 is greedy',
  repetition_penalty: 'above 1 discourages tokens already seen',
  batch_size: 'the same as --max-concurrency',
} as const

const strategies = ['sampling', 'greedy_search'] as const

/** Flags of PaddleNLP that stand for nothing here, and what to do instead. */
const refused: Readonly<Record<string, string>> = {
  model_name_or_path: 'name the model as the argument',
  data_file: 'use --input',
  output_file: 'use --output',
  total_max_length: 'use --max-model-len',
  mode: 'a model is always run as it is; leave it away',
  inference_model: 'fused kernels are always used; leave it away',
  block_attn: 'keys and values are always paged; leave it away',
  append_attn: 'keys and values are always paged; leave it away',
  dynamic_insert: 'requests always join a running batch; leave it away',
  cachekv_int8_type: 'use --kv-cache-dtype',
  quant_type: 'use --quantization',
  lora_path: 'use --lora-modules and name the adapter as "model" of a line',
  prefix_path: 'use --lora-modules and name the adapter as "model" of a line',
  use_flash_attention: 'attention is always fused; leave it away',
  avx_model: 'use --device cpu',
  avx_type: 'use --dtype',
  speculate_method: 'there is no speculative decoding here',
  benchmark: 'use slipway bench',
}

export interface PaddleFlags {
  readonly srcLength?: number
  readonly maxLength?: number
  readonly minLength?: number
  readonly topK?: number
  readonly topP?: number
  readonly temperature?: number
  readonly repetitionPenalty?: number
  readonly batchSize?: number
  readonly decodeStrategy?: (typeof strategies)[number]
}

/** Adds the flags of PaddleNLP's predictor, in its spelling too; those that have no meaning here are refused by name. */
export function addPaddleFlags(command: Command): Command {
  for (const [name, text] of Object.entries(numbers)) {
    command.addOption(new Option(`${dashed(name)} <n>`, `"src" lines: ${text}`).argParser(toNumber))
    if (name.includes('_')) command.addOption(new Option(`--${name} <n>`).argParser(toNumber).hideHelp())
  }
  command.addOption(
    new Option('--decode-strategy <type>', '"src" lines: how tokens are chosen (default: sampling)').choices(
      strategies,
    ),
  )
  command.addOption(new Option('--decode_strategy <type>').choices(strategies).hideHelp())
  for (const name of Object.keys(refused)) command.addOption(new Option(`--${name} [value]`).hideHelp())
  return command
}

/** The flags that were given, in one spelling. */
export function readPaddleFlags(flags: Readonly<Record<string, unknown>>): PaddleFlags {
  for (const [name, remedy] of Object.entries(refused))
    if (flags[name] !== undefined) throw new SlipwayError('request', `--${name}: ${remedy}`, { param: name })
  const names = [...Object.keys(numbers), 'decode_strategy']
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = flags[name] ?? flags[camel(name)]
      return value === undefined ? [] : [[camel(name), value]]
    }),
  )
}

/** Throws where a flag is given that no line has a use for. */
export function refuseUnusedPaddleFlags(flags: PaddleFlags): void {
  const name = Object.keys(flags).find((one) => one !== 'batchSize')
  if (name === undefined) return
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  throw new SlipwayError('request', `${flag}: it is for lines with "src", and the input has none; leave it away`)
}

function dashed(name: string): string {
  return `--${name.replaceAll('_', '-')}`
}

function camel(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}
