import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Writable } from 'node:stream'
import type { ChatMessage } from '@slipway/checkpoint'
import type { LLM, PlainPrompt, Prompt } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Command } from 'commander'
import { addEngineFlags, addSamplingFlags, engineOptions, samplingParams } from '../flags.ts'
import { interruptSignal, loadModel } from '../loading.ts'

interface Flags {
  readonly prompt?: string[]
  readonly input?: string
  readonly output?: string
  readonly lora?: string
}

/** Completes many prompts offline and writes JSON lines. */
export function generateCommand(): Command {
  const command = new Command('generate')
    .description('complete many prompts offline; one JSON line per prompt')
    .argument('[model]')
    .option('-p, --prompt <text...>', 'prompts on the command line')
    .option(
      '-i, --input <file>',
      'JSON lines with "prompt" (text or ids; with "suffix") or "messages"; - reads standard input',
    )
    .option('-o, --output <file>', 'where the results go; default: standard output')
    .option('--lora <name>', 'the adapter of --lora-modules that answers')
  return addSamplingFlags(addEngineFlags(command)).action(async (model: string | undefined, flags: Flags) => {
    const items: Item[] = [...(flags.prompt ?? []).map((prompt) => ({ prompt })), ...(await readItems(flags.input))]
    if (items.length === 0) throw new SlipwayError('request', 'nothing to complete: give --prompt or --input')
    const { signal, release } = interruptSignal()
    const llm = await loadModel(model, engineOptions({ ...flags }))
    try {
      const prompts = items.map((item) => promptOf(llm, item))
      const results = await llm.generate(prompts, samplingParams({ ...flags }), { signal, lora: flags.lora })
      const lines = results.map(({ outputs, usage }, i) =>
        JSON.stringify({
          ...items[i],
          outputs: outputs.map(({ text, finishReason }) => ({ text, finishReason })),
          usage,
        }),
      )
      await write(flags.output, `${lines.join('\n')}\n`)
    } finally {
      release()
      await llm.close()
    }
  })
}

type Item = { readonly prompt: PlainPrompt; readonly suffix?: string } | { readonly messages: readonly ChatMessage[] }

function promptOf(llm: LLM, item: Item): Prompt {
  if ('messages' in item) return llm.renderChat(item.messages)
  // what is no text is refused there
  return item.suffix === undefined ? item.prompt : { prefix: item.prompt as string, suffix: item.suffix }
}

async function readItems(input: string | undefined): Promise<Item[]> {
  if (input === undefined) return []
  const items: Item[] = []
  let number = 0
  for await (const line of createInterface({ input: input === '-' ? process.stdin : createReadStream(input) })) {
    number++
    if (line.trim() !== '') items.push(parseItem(line, `${input === '-' ? 'standard input' : input}:${number}`))
  }
  return items
}

function parseItem(line: string, where: string): Item {
  try {
    const item = JSON.parse(line) as Partial<Record<string, unknown>>
    if (Array.isArray(item['messages'])) return { messages: item['messages'] as ChatMessage[] }
    if (typeof item['prompt'] === 'string' || Array.isArray(item['prompt']))
      return {
        prompt: item['prompt'] as PlainPrompt,
        ...(item['suffix'] !== undefined && { suffix: item['suffix'] as string }),
      }
  } catch (error) {
    throw new SlipwayError('request', `${where}: ${(error as Error).message}`)
  }
  throw new SlipwayError('request', `${where}: a line needs "prompt" or "messages"`)
}

function write(output: string | undefined, text: string): Promise<void> {
  const stream: Writable = output === undefined ? process.stdout : createWriteStream(output)
  return new Promise((resolve, reject) => {
    stream.once('error', reject)
    stream.write(text, (error) => (error ? reject(error) : resolve()))
    if (output !== undefined) stream.end()
  })
}
