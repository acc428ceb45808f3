import { Announcer } from './announcer.ts'
import type { Chat } from './chat.ts'
import { openCalls, type Answer, type ToolCall } from './conversation.ts'
import { h, setText } from './dom.ts'
import { formatRate, formatTime } from './figures.ts'
import { copyText, MarkdownView } from './markdown-view.ts'
import { tokenSpans, type TokenSpan } from './token-spans.ts'

/** One answer: reasoning folded, content, calls, and what it took. */
export class AnswerView {
  readonly element: HTMLElement
  readonly answer: Answer
  readonly #chat: Chat
  readonly #announce: (text: string) => void
  readonly #announcer = new Announcer()
  readonly #reasoning: MarkdownView
  readonly #content: MarkdownView
  readonly #fold: HTMLDetailsElement
  readonly #summary = h('span', { class: 'fold-title' })
  readonly #error = h('p', { class: 'error', role: 'alert', hidden: true })
  readonly #waiting = h('span', { class: 'waiting', role: 'img', 'aria-label': 'waiting for the first token' })
  readonly #calls = h('div', { class: 'calls' })
  readonly #facts = h('span', { class: 'facts' })
  readonly #buttons: HTMLElement
  /** What of the calls is shown. */
  #shownCalls = ''

  constructor(answer: Answer, chat: Chat, announce: (text: string) => void) {
    this.answer = answer
    this.#chat = chat
    this.#announce = announce
    const text = (label: string): HTMLElement =>
      h('div', { class: 'text', 'aria-label': label, tabindex: 0, role: 'group' })
    this.#reasoning = new MarkdownView(text('thinking; arrow keys walk through the tokens'))
    this.#content = new MarkdownView(text('answer; arrow keys walk through the tokens'))
    this.#fold = h(
      'details',
      { class: 'thinking', hidden: true },
      h('summary', {}, this.#summary),
      this.#reasoning.element,
    )
    const copy = h(
      'button',
      { type: 'button', class: 'ghost', onclick: () => void copyText(answer.content, copy) },
      'Copy',
    )
    const retry = h('button', { type: 'button', class: 'ghost retry', onclick: () => void chat.retry(answer) }, 'Retry')
    this.#buttons = h('span', { class: 'buttons', hidden: true }, copy, retry)
    this.element = h(
      'article',
      { class: 'message assistant', 'aria-label': 'answer' },
      this.#fold,
      this.#waiting,
      this.#content.element,
      this.#calls,
      this.#error,
      h('footer', {}, this.#facts, this.#buttons),
    )
    this.update()
  }

  /** Shows what the answer has become. */
  update(): void {
    const { answer } = this
    const { content, reasoning, tokens, finish, error, toolCalls } = answer
    const isOver = finish !== undefined
    const thought = tokenSpans(tokens, reasoning, 0)
    const said = tokenSpans(tokens, content, thought.next)
    const levelOf = ({ from }: TokenSpan): number => levelOfProbability(Math.exp(tokens[from]!.logprob))
    this.#reasoning.update(reasoning, thought.spans, levelOf)
    this.#content.update(content, said.spans, levelOf)
    this.#fold.hidden = reasoning === ''
    const isThinking = !isOver && content === '' && toolCalls.length === 0
    this.#fold.classList.toggle('active', isThinking)
    setText(this.#summary, isThinking ? 'Thinking…' : 'Thinking')
    this.#content.element.hidden = content === ''
    this.#waiting.hidden = isOver || content !== '' || reasoning !== '' || toolCalls.length > 0
    this.#error.hidden = error === undefined
    setText(this.#error, error ?? '')
    this.#showCalls(toolCalls)
    setText(this.#facts, factsOf(answer))
    this.#buttons.hidden = !isOver
    this.element.setAttribute('aria-busy', String(!isOver))
    const news = this.#announcer.push(content, isOver)
    if (news !== '') this.#announce(news)
  }

  #showCalls(calls: readonly ToolCall[]): void {
    const open = new Set(openCalls(this.#chat.messages).map(({ id }) => id))
    const shown = JSON.stringify([calls, [...open]])
    if (shown === this.#shownCalls) return
    this.#shownCalls = shown
    this.#calls.replaceChildren(...calls.map((call) => this.#call(call, open.has(call.id))))
  }

  #call({ id, name, arguments: args }: ToolCall, isOpen: boolean): HTMLElement {
    const result = h('textarea', { rows: 2, placeholder: 'Result of the call', 'aria-label': `result of ${name}` })
    const send = (event: Event): void => {
      event.preventDefault()
      this.#chat.giveResult(id, result.value)
    }
    return h(
      'section',
      { class: 'call', 'aria-label': `call of ${name}` },
      h('div', { class: 'call-head' }, h('span', { class: 'badge' }, 'tool call'), h('code', {}, name)),
      h('pre', { tabindex: 0 }, pretty(args)),
      isOpen && h('form', { onsubmit: send }, result, h('button', { type: 'submit' }, 'Send result')),
    )
  }
}

/** Half-grown JSON stays as it is. */
function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), undefined, 2)
  } catch {
    return json
  }
}

/** 0: below 5 %, 4: above 90 %. */
export function levelOfProbability(probability: number): number {
  return [0.05, 0.25, 0.5, 0.9].filter((limit) => probability >= limit).length
}

const endings: Readonly<Record<string, string>> = {
  length: 'reached the longest length',
  stopped: 'stopped',
  tool_calls: 'calls a tool',
  'cut off': 'cut off',
}

function factsOf({ finish, usage, firstAt, endedAt, tokens }: Answer): string {
  const count = usage?.completion_tokens ?? tokens.length
  const seconds = firstAt === undefined || endedAt === undefined ? 0 : (endedAt - firstAt) / 1000
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0
  return [
    finish && endings[finish],
    count > 0 && `${count} ${count === 1 ? 'token' : 'tokens'}`,
    usage && `prompt ${usage.prompt_tokens}${cached > 0 ? ` (${cached} cached)` : ''}`,
    firstAt !== undefined && `first after ${formatTime(firstAt)}`,
    // what came all at once says nothing of the pace
    count > 1 && seconds > 0.1 && `${formatRate((count - 1) / seconds)} tokens/s`,
  ]
    .filter(Boolean)
    .join(' · ')
}
