import { workerData } from 'node:worker_threads'
import { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { checkSyntax, GrammarCompiler } from './compiler.ts'
import type { TokenBytes } from './places.ts'
import type { FollowedGrammar, GrammarCommand, GrammarReport, GrammarWorkerData } from './protocol.ts'
import { toRules, type GrammarSource } from './spec.ts'
import { ownThreadFile } from './thread-time.ts'
import { TriggeredMatcher } from './triggered-matcher.ts'
import { readVocabulary, tokenBytes } from './vocabulary.ts'

// A thread for grammars. Whoever started it may end it at any time, which is how long computations are cut off.

const { port, setup } = workerData as GrammarWorkerData

function report(message: GrammarReport): void {
  // a mask is made for its reader alone
  const isMask = message.type === 'next' && message.next.state === 'masked'
  port.postMessage(message, isMask ? [message.next.mask.buffer as ArrayBuffer] : [])
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

  let tokens: TokenBytes | undefined
  const grammarOf = (source: GrammarSource): FollowedGrammar | undefined => {
    const rules = toRules(source)
    return rules && { rules, tokens: (tokens ??= tokenBytes(vocabulary)) }
  }

  const serve = async (command: GrammarCommand): Promise<void> => {
    const { id } = command
    try {
      if (command.type === 'check') {
        await checkSyntax(command.source, setup.memoryBytes)
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
        const matcher = new TriggeredMatcher(own.compile(source).matcher(specials), vocabulary, specials, after)
        matchers.set(id, matcher)
        for (const token of command.tokens) follow(matcher, token)
        report({
          type: 'next',
          id,
          next: matcher.next(),
          grammar: command.wantsGrammar ? (grammarOf(source) ?? null) : undefined,
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
  // one after the other: a check awaits
  let last = Promise.resolve()
  port.on('message', (command: GrammarCommand) => {
    last = last.then(() => serve(command))
  })
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
