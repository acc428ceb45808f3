import { ApiError, request, stream, type ChatChunk } from './api.ts'
import { apiMessages, applyChunk, newAnswer, openCalls, type Answer, type Message } from './conversation.ts'
import { parameters, type Faults, type Settings } from './settings.ts'

export const chatPath = '/v1/chat/completions'

export interface ChatEnvironment {
  readonly settings: () => Settings
  readonly key: () => string
  /** The form cannot be read: `faults` says where. */
  readonly onFaults: (faults: Faults) => void
  /** Messages came or went. */
  readonly onList: () => void
  /** The answer under way has grown, or ended. */
  readonly onAnswer: (answer: Answer) => void
}

/** One conversation, and the answer under way. */
export class Chat {
  readonly #environment: ChatEnvironment
  #messages: Message[] = []
  #running: AbortController | undefined

  constructor(environment: ChatEnvironment) {
    this.#environment = environment
  }

  get messages(): readonly Message[] {
    return this.#messages
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** The body of the request that would be sent now; undefined, and `onFaults` told, where the form cannot be read. */
  body(messages: readonly Message[] = this.#messages): Record<string, unknown> | undefined {
    const { settings, onFaults } = this.#environment
    const { body, faults } = parameters(settings())
    onFaults(faults)
    if (Object.keys(faults).length > 0) return undefined
    const given = { messages: apiMessages(settings().system, messages), stream: true }
    return { ...body, ...given, stream_options: { include_usage: true } }
  }

  /** False where nothing was sent. */
  send(text: string): boolean {
    return this.#ask([...this.#messages, { role: 'user', content: text }])
  }

  /** Gives the result of a call; when all calls have theirs, the model goes on. */
  giveResult(toolCallId: string, content: string): void {
    if (this.isRunning) return
    this.#messages.push({ role: 'tool', toolCallId, content })
    this.#environment.onList()
    if (openCalls(this.#messages).length === 0) this.#ask(this.#messages)
  }

  /** Answers anew, without what came after. */
  retry(answer: Answer): boolean {
    const place = this.#messages.indexOf(answer)
    return place >= 0 && this.#ask(this.#messages.slice(0, place))
  }

  stop(): void {
    this.#running?.abort()
  }

  replace(messages: readonly Message[]): void {
    this.stop()
    this.#messages = [...messages]
    this.#environment.onList()
  }

  #ask(messages: readonly Message[]): boolean {
    const body = this.isRunning ? undefined : this.body(messages)
    if (!body) return false
    const answer = newAnswer()
    this.#messages = [...messages, answer]
    this.#running = new AbortController()
    this.#environment.onList()
    void this.#read(answer, body, this.#running)
    return true
  }

  async #read(answer: Answer, body: unknown, running: AbortController): Promise<void> {
    const { key, onAnswer } = this.#environment
    const started = performance.now()
    const { signal } = running
    try {
      for await (const chunk of stream<ChatChunk>(chatPath, { key: key(), signal, body })) {
        applyChunk(answer, chunk)
        // the first chunk brings the role alone
        if (answer.content + answer.reasoning !== '' || answer.toolCalls.length > 0)
          answer.firstAt ??= performance.now() - started
        onAnswer(answer)
      }
      answer.finish ??= 'cut off'
    } catch (error) {
      answer.finish = signal.aborted ? 'stopped' : 'error'
      if (!signal.aborted) answer.error = messageOf(error)
    }
    answer.endedAt = performance.now() - started
    if (this.#running === running) this.#running = undefined
    onAnswer(answer)
  }
}

function messageOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return `${error.message} Give the key under “API key”.`
  return error instanceof ApiError ? error.message : 'the connection broke off'
}

/** Names of the models that the server has. */
export async function modelNames(key: string): Promise<string[]> {
  const response = await request('/v1/models', { key })
  const { data } = (await response.json()) as { data: readonly { id: string }[] }
  return data.map(({ id }) => id)
}
