import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { ChatMessage } from '@slipway/checkpoint'
import { efforts, type ChatOptions, type ChatTool, type LLM, type SamplingParams } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Command, Option } from 'commander'
import { addEngineFlags, addSamplingFlags, engineOptions, samplingParams } from '../flags.ts'
import { interruptSignal, loadModel } from '../loading.ts'
import { ChatWriter } from './chat-writer.ts'
import { addParserFlags, checkParserNames, type ParserFlags } from './parser-flags.ts'

interface Flags extends ParserFlags {
  readonly system?: string
  readonly message?: string
  readonly lora?: string
  readonly tools?: string
  readonly thinking: boolean
  readonly thinkingTokenBudget?: string
  readonly reasoningEffort?: ChatOptions['reasoningEffort']
}

/** How every answer of a talk is asked for. */
interface Talk {
  readonly params: SamplingParams
  readonly options: ChatOptions
}

/** Talks with a model in the terminal. */
export function chatCommand(): Command {
  const command = new Command('chat')
    .description('talk with a model; Ctrl-C stops an answer, /clear forgets, an empty line ends')
    .argument('[model]')
    .option('-s, --system <text>', 'system message')
    .option('-m, --message <text>', 'ask this one thing and end')
    .option('--lora <name>', 'the adapter of --lora-modules that answers')
    .option('--tools <file>', 'JSON list of tools as the OpenAI API has them; calls are shown, not made')
    .option('--no-thinking', 'answer at once')
    .option('--thinking-token-budget <n>', 'most tokens of thinking')
    .addOption(new Option('--reasoning-effort <effort>', 'how much thinking').choices(efforts))
  addSamplingFlags(addEngineFlags(addParserFlags(command)))
  return command.action(async (model: string | undefined, flags: Flags) => {
    checkParserNames(flags)
    const talk = { params: samplingParams({ ...flags }), options: chatOptions(flags) }
    const llm = await loadModel(model, engineOptions({ ...flags }))
    const opening: ChatMessage[] = flags.system === undefined ? [] : [{ role: 'system', content: flags.system }]
    try {
      if (flags.message !== undefined) await answer(llm, [...opening, { role: 'user', content: flags.message }], talk)
      else await converse(llm, opening, talk)
    } finally {
      await llm.close()
    }
  })
}

function chatOptions(flags: Flags): ChatOptions {
  const { lora, tools, thinking, thinkingTokenBudget: budget, reasoningEffort, reasoningParser, toolCallParser } = flags
  return {
    lora,
    reasoningParser,
    toolCallParser,
    reasoningEffort,
    ...(tools !== undefined && { tools: readTools(tools) }),
    ...(!thinking && { enableThinking: false }),
    ...(budget !== undefined && { thinkingTokenBudget: toCount(budget) }),
  }
}

function readTools(file: string): readonly ChatTool[] {
  try {
    const tools: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (Array.isArray(tools)) return tools as readonly ChatTool[]
  } catch (error) {
    throw new SlipwayError('request', `--tools ${file}: ${(error as Error).message}`)
  }
  throw new SlipwayError('request', `--tools ${file}: must hold a JSON list of tools`)
}

function toCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new SlipwayError('request', `--thinking-token-budget ${text}: must be a whole number from 0 on`)
}

async function converse(llm: LLM, opening: readonly ChatMessage[], talk: Talk): Promise<void> {
  let messages = [...opening]
  let isAnswering = false
  const terminal = createInterface({ input: process.stdin, output: process.stderr, prompt: '> ' })
  // a terminal in raw mode gives us Ctrl-C itself: it stops an answer, or ends the talk
  terminal.on('SIGINT', () => (isAnswering ? process.emit('SIGINT') : terminal.close()))
  // piped input may have ended while lines of it still wait here
  let isOpen = true
  terminal.once('close', () => (isOpen = false))
  terminal.prompt()
  for await (const line of terminal) {
    if (line.trim() === '') break
    if (line.trim() === '/clear') messages = [...opening]
    else {
      messages.push({ role: 'user', content: line })
      isAnswering = true
      messages.push(await answer(llm, messages, talk))
      isAnswering = false
    }
    if (isOpen) terminal.prompt()
  }
  terminal.close()
}

/** Streams one answer to standard output; Ctrl-C ends it early. */
async function answer(llm: LLM, messages: readonly ChatMessage[], { params, options }: Talk): Promise<ChatMessage> {
  const { signal, release } = interruptSignal()
  const plan = llm.planChat(messages, options, params)
  const hasColours = process.stdout.isTTY && !process.env['NO_COLOR']
  const writer = new ChatWriter(plan.newAnswer(), (text) => process.stdout.write(text), { hasColours })
  try {
    const { lora } = options
    for await (const event of llm.submit(plan.prompt, { ...params, ...plan.params }, { signal, lora }))
      if (event.type === 'delta') writer.push(event.text, event.tokenIds)
  } finally {
    writer.finish()
    release()
  }
  return writer.message
}
