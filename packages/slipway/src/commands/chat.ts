import { createInterface } from 'node:readline'
import type { ChatMessage } from '@slipway/checkpoint'
import type { LLM, SamplingParams } from '@slipway/engine'
import { Command } from 'commander'
import { addEngineFlags, addSamplingFlags, engineOptions, samplingParams } from '../flags.ts'
import { interruptSignal, loadModel } from '../loading.ts'

interface Flags {
  readonly system?: string
  readonly message?: string
  readonly lora?: string
}

/** Talks with a model in the terminal. */
export function chatCommand(): Command {
  const command = new Command('chat')
    .description('talk with a model; Ctrl-C stops an answer, /clear forgets, an empty line ends')
    .argument('[model]')
    .option('-s, --system <text>', 'system message')
    .option('-m, --message <text>', 'ask this one thing and end')
    .option('--lora <name>', 'the adapter of --lora-modules that answers')
  return addSamplingFlags(addEngineFlags(command)).action(async (model: string | undefined, flags: Flags) => {
    const llm = await loadModel(model, engineOptions({ ...flags }))
    const asked = { params: samplingParams({ ...flags }), lora: flags.lora }
    const opening: ChatMessage[] = flags.system === undefined ? [] : [{ role: 'system', content: flags.system }]
    try {
      if (flags.message !== undefined) await answer(llm, [...opening, { role: 'user', content: flags.message }], asked)
      else await converse(llm, opening, asked)
    } finally {
      await llm.close()
    }
  })
}

interface Asked {
  readonly params: SamplingParams
  readonly lora: string | undefined
}

async function converse(llm: LLM, opening: readonly ChatMessage[], asked: Asked): Promise<void> {
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
      messages.push({ role: 'assistant', content: await answer(llm, messages, asked) })
      isAnswering = false
    }
    if (isOpen) terminal.prompt()
  }
  terminal.close()
}

/** Streams one answer to standard output; Ctrl-C ends it early. */
async function answer(llm: LLM, messages: readonly ChatMessage[], { params, lora }: Asked): Promise<string> {
  const { signal, release } = interruptSignal()
  let text = ''
  try {
    for await (const event of llm.chat(messages, params, { stream: true, signal, lora }))
      if (event.type === 'delta') {
        text += event.text
        process.stdout.write(event.text)
      }
  } finally {
    release()
  }
  process.stdout.write('\n')
  return text
}
