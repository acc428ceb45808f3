import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { checkSyntax, GrammarCompiler, type CompiledGrammar } from './compiler.ts'
import { stringContents } from './json-string.ts'
import { knownRuns } from './loops.ts'
import { MessageCounts } from './message-counts.ts'
import type { FollowedGrammar, GrammarCommand, GrammarReport, GrammarWorkerData } from './protocol.ts'
import { hasRules } from './spec.ts'
import { ownThreadFile } from './thread-time.ts'
import { TriggeredMatcher } from './triggered-matcher.ts'
import { readVocabulary, tokenBytes } from './vocabulary.ts'

// A thread for grammars. Whoever started it may end it at any time, which is how long computations are cut off.

const { port, setup, counts: shared } = workerData as GrammarWorkerData
const counts = new MessageCounts(shared)

/** Milliseconds that it waits for the next token of a text, which comes within a step, without its event loop. */
const lingerMs = 30

function report(message: GrammarReport): void {
  // a mask is made for its reader alone
  const isMask = message.type === 'next' && message.next.state === 'masked'
  port.postMessage(message, isMask ? [message.next.mask.buffer as ArrayBuffer] : [])
  counts.add('reports')
}

async function main(): Promise<void> {
  const tokenizer = await Tokenizer.load(setup.directory)
  const { vocabSize: size, stopIds } = setup
  const vocabulary = readVocabulary(tokenizer, { size, stopIds })
  const compiler = await GrammarCompiler.create(vocabulary, setup)
  const withMarkers = new MarkerCompilers(async (textIds) =>
    GrammarCompiler.create(readVocabulary(tokenizer, { size, stopIds, textIds }), setup),
  )
  // fresh Wasm is slow: the first one to ask is not to pay for that
  const first = compiler.compile({ kind: 'jsonObject', text: 'true', compact: false }).matcher()
  first.fillMask(new Uint32Array(Math.ceil(setup.vocabSize / 32)))
  first.dispose()
  const matchers = new Map<number, TriggeredMatcher>()

  let known: Pick<FollowedGrammar, 'tokens' | 'runs'> | undefined
  const grammarOf = ({ rules }: CompiledGrammar, specials: readonly number[]): FollowedGrammar | undefined => {
    if (!rules) return undefined
    if (!known) {
      const tokens = tokenBytes(vocabulary)
      known = { tokens, runs: knownRuns(stringContents, tokens) }
    }
    return { ...known, rules, stopIds: [...stopIds, ...specials] }
  }

  const serve = async (command: GrammarCommand): Promise<void> => {
    const { id } = command
    try {
      if (command.type === 'check') {
        // what we write ourselves is well formed
        if (!hasRules(command.source)) await checkSyntax(command.source, setup.memoryBytes)
        const matcher = compiler.compile(command.source).matcher()
        matcher.fillMask(new Uint32Array(Math.ceil(setup.vocabSize / 32)))
        matcher.dispose()
        report({ type: 'checked', id, isBroken: false })
        return
      }
      if (command.type === 'close') {
        matchers.get(id)?.dispose()
        matchers.delete(id)
        return
      }
      if (command.type === 'open') {
        const { source, stopIds, textIds, after } = command.request
        const specials = stopIds.filter((stop) => vocabulary.isSpecial(stop))
        const own = (await withMarkers.get(textIds?.filter((text) => vocabulary.isSpecial(text)) ?? [])) ?? compiler
        const grammar = own.compile(source)
        const matcher = new TriggeredMatcher(grammar.matcher(specials), vocabulary, specials, after)
        matchers.set(id, matcher)
        for (const token of command.tokens) follow(matcher, token)
        report({
          type: 'next',
          id,
          next: matcher.next(),
          grammar: command.wantsGrammar ? (grammarOf(grammar, specials) ?? null) : undefined,
        })
        return
      }
      const matcher = matchers.get(id)
      if (!matcher) return
      for (const token of command.tokens) follow(matcher, token)
      report({ type: 'next', id, next: matcher.next() })
    } catch (error) {
      const type = command.type === 'check' ? 'checked' : 'refused'
      report({ type, id, error: SlipwayError.toWire(error), isBroken: compiler.isBroken || withMarkers.isBroken })
    }
  }
  let numTaken = 0
  let numServed = 0
  // one after the other: a check awaits
  let last = Promise.resolve()
  const take = (command: GrammarCommand): void => {
    numTaken++
    last = last.then(async () => {
      await serve(command)
      numServed++
      if (command.type === 'accept' && numServed === numTaken) linger()
    })
  }
  const linger = (): void => {
    while (counts.wait('commands', numTaken, lingerMs)) {
      const given = receiveMessageOnPort(port) as { readonly message: GrammarCommand } | undefined
      if (!given) return
      const { message } = given
      if (message.type !== 'accept' && message.type !== 'close') return take(message)
      numTaken++
      numServed++
      // these await nothing
      void serve(message)
    }
  }
  port.on('message', take)
  report({ type: 'ready', threadFile: ownThreadFile() })
}

/** Compilers for which the markers of a model's tool calls are text: a model has one set of them, or none. */
class MarkerCompilers {
  readonly #create: (textIds: readonly number[]) => Promise<GrammarCompiler>
  #textIds = ''
  #compiler: GrammarCompiler | undefined

  constructor(create: (textIds: readonly number[]) => Promise<GrammarCompiler>) {
    this.#create = create
  }

  get isBroken(): boolean {
    return this.#compiler?.isBroken ?? false
  }

  async get(textIds: readonly number[]): Promise<GrammarCompiler | undefined> {
    if (textIds.length === 0) return undefined
    if (String(textIds) !== this.#textIds || !this.#compiler) {
      this.#compiler = await this.#create(textIds)
      this.#textIds = String(textIds)
    }
    return this.#compiler
  }
}

function follow(matcher: TriggeredMatcher, token: number): void {
  if (!matcher.accept(token)) throw new SlipwayError('internal', `the grammar does not allow token ${token}`)
}

main().catch((error: unknown) => {
  report({ type: 'failed', error: SlipwayError.toWire(error) })
  port.close()
})
