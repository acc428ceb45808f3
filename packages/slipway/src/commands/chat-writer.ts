import type { ChatAnswer } from '@slipway/engine'
import type { ChatMessage } from '@slipway/checkpoint'
import { OutputCollector, type OutputDelta } from '@slipway/parsers'

const dim = '\u001b[2m'
const reset = '\u001b[0m'

/**
 * Writes an answer as a reader wants to see it: thinking dimmed, a tool call as its name and arguments on a line of its
 * own. Without colours the thinking stands between its name and a blank line.
 */
export class ChatWriter {
  readonly #answer: ChatAnswer
  readonly #write: (text: string) => void
  readonly #hasColours: boolean
  #part: 'none' | 'reasoning' | 'content' | 'call' = 'none'
  readonly #collector = new OutputCollector()

  constructor(answer: ChatAnswer, write: (text: string) => void, { hasColours }: { readonly hasColours: boolean }) {
    this.#answer = answer
    this.#write = write
    this.#hasColours = hasColours
  }

  /** The answer as a template takes it back. */
  get message(): ChatMessage {
    const { content, reasoning, toolCalls } = this.#collector.output
    return {
      role: 'assistant',
      content,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(toolCalls.length > 0 && {
        tool_calls: toolCalls.map(({ id, ...call }) => ({ id, type: 'function', function: call })),
      }),
    }
  }

  push(text: string, tokenIds: readonly number[]): void {
    this.#show(this.#answer.push(text, tokenIds))
  }

  /** Ends the line, and the colour, also where an answer was broken off. */
  finish(): void {
    this.#show(this.#answer.finish())
    this.#enter('none')
  }

  #show(delta: OutputDelta): void {
    const { reasoning = '', content = '', toolCalls = [] } = delta
    this.#collector.add(delta)
    this.#put('reasoning', reasoning)
    this.#put('content', content)
    for (const { name, argumentsDelta = '' } of toolCalls) {
      if (name !== undefined) {
        this.#enter('none')
        this.#put('call', `${name} `)
      }
      this.#put('call', argumentsDelta)
    }
  }

  #put(part: 'reasoning' | 'content' | 'call', text: string): void {
    if (text === '') return
    this.#enter(part)
    this.#write(text)
  }

  #enter(part: 'none' | 'reasoning' | 'content' | 'call'): void {
    const before = this.#part
    if (part === before) return
    this.#part = part
    if (before === 'reasoning') this.#write(`${this.#hasColours ? reset : ''}\n${part === 'none' ? '' : '\n'}`)
    else if (before !== 'none') this.#write('\n')
    if (part === 'reasoning') this.#write(this.#hasColours ? dim : 'thinking: ')
    if (part === 'call') this.#write('call: ')
  }
}
