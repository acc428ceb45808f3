import type { TokenEntry } from './api.ts'
import { byId, h } from './dom.ts'
import { formatShare } from './figures.ts'

/**
 * Shows how probable a token was and what else could have stood there: on hover, on touch, and by the arrow keys when a
 * text has the focus.
 */
export class TokenPopover {
  readonly #element = byId('token')
  readonly #tokensAt: (element: Element) => readonly TokenEntry[]
  #shown: HTMLElement | undefined

  /** `tokensAt` gives the tokens of the answer that an element belongs to. */
  constructor(root: HTMLElement, tokensAt: (element: Element) => readonly TokenEntry[]) {
    this.#tokensAt = tokensAt
    root.addEventListener('pointerover', (event) => {
      const token = tokenOf(event.target)
      if (token) this.#show(token)
      else this.hide()
    })
    root.addEventListener('pointerleave', () => this.hide())
    root.addEventListener('focusout', () => this.hide())
    root.addEventListener('keydown', (event) => this.#walk(event))
    // what it points at has gone elsewhere
    root.addEventListener('scroll', () => this.hide(), { passive: true })
  }

  hide(): void {
    this.#shown?.classList.remove('chosen')
    this.#shown = undefined
    this.#element.hidden = true
  }

  #walk(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    const text = event.target as HTMLElement
    if (!step || !text.classList.contains('text')) return
    const tokens = [...text.querySelectorAll<HTMLElement>('.token')]
    const place = this.#shown ? tokens.indexOf(this.#shown) + step : 0
    const next = tokens[Math.min(Math.max(place, 0), tokens.length - 1)]
    if (!next) return
    event.preventDefault()
    next.scrollIntoView({ block: 'nearest' })
    this.#show(next)
  }

  #show(element: HTMLElement): void {
    if (element === this.#shown) return
    this.hide()
    const entries = this.#tokensAt(element).slice(Number(element.dataset['from']), Number(element.dataset['to']))
    if (entries.length === 0) return
    this.#shown = element
    element.classList.add('chosen')
    this.#element.replaceChildren(...entries.slice(0, 3).map(card))
    this.#element.hidden = false
    const { left, top, bottom } = element.getBoundingClientRect()
    const { width, height } = this.#element.getBoundingClientRect()
    const isAbove = bottom + height + 8 > innerHeight
    this.#element.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`
    this.#element.style.top = `${isAbove ? Math.max(8, top - height - 6) : bottom + 6}px`
  }
}

function tokenOf(target: EventTarget | null): HTMLElement | undefined {
  return target instanceof Element ? (target.closest<HTMLElement>('.token') ?? undefined) : undefined
}

function card({ token, logprob, top_logprobs }: TokenEntry): HTMLElement {
  const others = top_logprobs.some((entry) => entry.token === token)
    ? top_logprobs
    : [{ token, logprob }, ...top_logprobs]
  const rows = others.map((entry) => {
    const share = Math.exp(entry.logprob)
    const bar = h('span', { class: 'meter' })
    bar.style.setProperty('--share', String(share))
    return h(
      'tr',
      { class: entry.token === token && entry.logprob === logprob ? 'own' : undefined },
      h('th', { scope: 'row' }, visible(entry.token)),
      h('td', {}, bar),
      h('td', { class: 'share' }, formatShare(share)),
    )
  })
  return h('table', {}, h('tbody', {}, ...rows))
}

/** A token with its blanks shown. */
function visible(token: string): string {
  return token.replaceAll(' ', '␣').replaceAll('\n', '⏎').replaceAll('\t', '⇥') || '∅'
}
