import { SlipwayError } from '@slipway/tensor'
import { GrammarThread } from './grammar-thread.ts'
import type { Place } from './automaton.ts'
import { Loops } from './loops.ts'
import { Places } from './places.ts'
import type { FollowedGrammar, GrammarReport, GrammarSetup, MatcherRequest, NextTokens } from './protocol.ts'
import { hasRules } from './spec.ts'

/** One text that follows a grammar, as its owner sees it: masks are made elsewhere and arrive. */
export class RemoteMatcher {
  readonly request: MatcherRequest
  readonly tokens: number[] = []
  /** What may come next; undefined while it is computed. */
  next: NextTokens | undefined
  /** Why there is no next token; the text cannot go on. */
  error: SlipwayError | undefined
  /** True when `next` takes longer than its owner is willing to wait; a first mask always does. */
  isLate = true

  constructor(request: MatcherRequest) {
    this.request = request
  }

  /** Whether it is known how the text may go on, or that it cannot. */
  get isSettled(): boolean {
    return this.next !== undefined || this.error !== undefined
  }
}

/** A text and how far it is followed. */
interface Text {
  readonly id: number
  readonly matcher: RemoteMatcher
  /** Stands for its grammar and stop tokens; undefined where places cannot be followed. */
  readonly key: string | undefined
  /** Tokens that the thread has been told. */
  numSent: number
  /** Whether the thread has answered since it was told of the text. */
  isBegun: boolean
  /** Where its grammar is followed here as well: the places there, and that of the text. */
  places: Places | undefined
  place: Place | undefined
}

/** Grammars of which masks are kept. */
const maxGrammars = 8
/** Tokens that one side may be behind the other, so that it catches up in little time. */
const maxUnsent = 256

/**
 * Makes masks in a thread of their own, so that whoever computes tokens never waits longer than it wants to. A text
 * that takes too long ends with an error; the thread starts again and the other texts are followed anew. At a place
 * whose mask is known the thread is not asked.
 */
export class Matchers {
  readonly #thread: GrammarThread
  readonly #open = new Map<number, Text>()
  readonly #texts = new Map<RemoteMatcher, Text>()
  /** Ids in the order in which answers come. */
  #pending: number[] = []
  /** By the key of texts, the one used last at the end; null: it cannot be followed here. */
  readonly #grammars = new Map<string, Places | null>()
  /** Shared by all grammars, since there is one vocabulary. */
  #loops: Loops | undefined
  readonly #waiters = new Set<() => void>()
  #numMatchers = 0

  constructor(setup: GrammarSetup, { limitMs = 2000 }: { readonly limitMs?: number } = {}) {
    this.#thread = new GrammarThread(setup, limitMs, {
      onReport: (report) => {
        this.#pending.shift()
        const text = 'id' in report ? this.#open.get(report.id) : undefined
        if (text && report.type === 'next') this.#take(text, report)
        else if (text && report.type === 'refused') text.matcher.error = SlipwayError.fromWire(report.error)
        this.#wake()
      },
      onRestart: (error) => {
        const guilty = this.#open.get(this.#pending[0] ?? -1)
        if (guilty) guilty.matcher.error = error
        this.#pending = []
        for (const text of this.#open.values()) if (!text.matcher.error) this.#begin(text)
        this.#wake()
      },
      onFailure: (error) => {
        this.#pending = []
        for (const { matcher } of this.#open.values()) matcher.error = error
        this.#wake()
      },
    })
  }

  get numOpen(): number {
    return this.#open.size
  }

  /** Begins to follow a text. */
  open(request: MatcherRequest): RemoteMatcher {
    const matcher = new RemoteMatcher(request)
    const id = this.#numMatchers++
    const key = keyOf(request)
    const text: Text = { id, matcher, key, numSent: 0, isBegun: false, places: undefined, place: undefined }
    this.#open.set(id, text)
    this.#texts.set(matcher, text)
    this.#begin(text)
    return matcher
  }

  #begin(text: Text): void {
    const { id, matcher, key } = text
    const { request, tokens } = matcher
    matcher.next = undefined
    matcher.isLate = true
    text.isBegun = false
    text.numSent = tokens.length
    this.#pending.push(id)
    const wantsGrammar = key !== undefined && !this.#grammars.has(key)
    this.#thread.send({ type: 'open', id, request, tokens, wantsGrammar })
  }

  /** Takes in an answer of the thread. */
  #take(text: Text, { next, grammar }: Extract<GrammarReport, { type: 'next' }>): void {
    const { matcher, key } = text
    if (!text.isBegun) {
      text.isBegun = true
      text.places = key === undefined ? undefined : this.#placesOf(key, grammar)
      text.place = matcher.tokens.length < maxUnsent ? text.places?.start() : undefined
      for (const token of matcher.tokens) this.#move(text, token)
    }
    // what is found out here counts, so that a text that is begun anew goes on like any other
    const known = text.place && text.places!.next(text.place)
    if (text.place && !known) text.places!.learn(text.place, next)
    matcher.next = known ?? next
    matcher.isLate = false
  }

  #placesOf(key: string, grammar: FollowedGrammar | null | undefined): Places | undefined {
    let places = this.#grammars.get(key)
    if (places === undefined && grammar !== undefined)
      places =
        grammar &&
        new Places(grammar.rules, grammar.tokens, {
          stopIds: grammar.stopIds,
          loops: (this.#loops ??= new Loops(grammar.tokens.trie, grammar.runs)),
        })
    if (places === undefined) return undefined
    this.#grammars.delete(key)
    this.#grammars.set(key, places)
    for (const oldest of this.#grammars.keys()) if (this.#grammars.size > maxGrammars) this.#grammars.delete(oldest)
    return places ?? undefined
  }

  #move(text: Text, token: number): void {
    if (text.place) text.place = text.places!.follow(text.place, token)
  }

  /** Goes on with a token that `next` allowed. */
  accept(matcher: RemoteMatcher, token: number): void {
    const text = this.#texts.get(matcher)
    const { tokens } = matcher
    tokens.push(token)
    matcher.next = undefined
    if (!text || matcher.error) return
    this.#move(text, token)
    const known = text.place && text.places!.next(text.place)
    if (known && tokens.length - text.numSent < maxUnsent) {
      matcher.next = known
      return
    }
    this.#pending.push(text.id)
    this.#thread.send({ type: 'accept', id: text.id, tokens: tokens.slice(text.numSent) })
    text.numSent = tokens.length
  }

  close(matcher: RemoteMatcher): void {
    const text = this.#texts.get(matcher)
    if (!text) return
    this.#texts.delete(matcher)
    this.#open.delete(text.id)
    this.#thread.send({ type: 'close', id: text.id })
  }

  /**
   * Waits, `ms` at most, until it is known how these texts may go on; returns those that still lack it. The event loop
   * stands still meanwhile.
   */
  waitFor(matchers: readonly (RemoteMatcher | undefined)[], ms: number): RemoteMatcher[] {
    const lacking = (): RemoteMatcher[] => matchers.filter((matcher) => matcher?.isSettled === false) as RemoteMatcher[]
    if (lacking().length === 0) return []
    const end = performance.now() + ms
    this.#thread.poll()
    for (let left = ms; left > 0 && lacking().length > 0; left = end - performance.now()) this.#thread.wait(left)
    return lacking()
  }

  /** Resolves when any matcher has changed, or after `ms`. */
  async changed(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#waiters.add(done)
    })
  }

  async end(): Promise<void> {
    await this.#thread.close()
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }
}

/** Of a grammar that begins with the text, and is ours. */
function keyOf({ source, stopIds, textIds, after }: MatcherRequest): string | undefined {
  return after === undefined && hasRules(source) ? JSON.stringify([source, stopIds, textIds]) : undefined
}
