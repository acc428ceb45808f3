import { SlipwayError } from '@slipway/tensor'
import { grammarFault, type Rules } from './ast.ts'
import { GrammarMatcher } from './matcher.ts'
import { toGrammarText, type GrammarSource, type GrammarText } from './spec.ts'
import type { Vocabulary } from './vocabulary.ts'
import { openXgrammar, type CompilerHandle, type Handle, type Xgrammar } from './xgrammar.ts'

export interface CompilerLimits {
  /** Most bytes of Wasm memory. */
  readonly memoryBytes: number
  /** Compiled grammars that are kept for the next request. */
  readonly maxGrammars: number
}

/**
 * Compiles grammars for one vocabulary, in this thread. xgrammar is built without C++ exceptions: what it does not like
 * ends the instance, so after a throw `isBroken` is true and the compiler is to be replaced.
 */
export class GrammarCompiler {
  readonly #xgrammar: Xgrammar
  readonly #vocabulary: Vocabulary
  readonly #limits: CompilerLimits
  readonly #compiler: CompilerHandle
  /** By source, the one used last at the end. */
  readonly #kept = new Map<string, CompiledGrammar>()
  #isBroken = false

  private constructor(xgrammar: Xgrammar, vocabulary: Vocabulary, limits: CompilerLimits) {
    this.#xgrammar = xgrammar
    this.#vocabulary = vocabulary
    this.#limits = limits
    const { bindings } = xgrammar
    const tokens = new bindings.VectorString()
    // xgrammar never allows a token without text
    for (const [id, bytes] of vocabulary.bytes.entries())
      tokens.push_back(!bytes || vocabulary.isSpecial(id) ? '' : bytes)
    const stops = bindings.vecIntFromJSArray(vocabulary.stopIds)
    const info = new bindings.TokenizerInfo(tokens, 'RAW', vocabulary.size, stops, false)
    this.#compiler = new bindings.GrammarCompiler(info, 1, false)
    for (const handle of [tokens, stops, info]) handle.delete()
  }

  static async create(vocabulary: Vocabulary, limits: CompilerLimits): Promise<GrammarCompiler> {
    return new GrammarCompiler(await openXgrammar(limits.memoryBytes), vocabulary, limits)
  }

  /** True after xgrammar has given up; nothing more may be asked of it. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  get memoryBytes(): number {
    return this.#xgrammar.memoryBytes()
  }

  /** Throws `request` for what cannot be enforced. */
  compile(source: GrammarSource): CompiledGrammar {
    const key = JSON.stringify(source)
    let grammar = this.#kept.get(key)
    if (grammar) this.#kept.delete(key)
    else {
      const text = toGrammarText(source)
      const guard = <T>(run: () => T): T => this.#guard(run)
      grammar = this.#guard(() => {
        const handle = compileText(text, this.#compiler, this.#xgrammar)
        return new CompiledGrammar(handle, text.rules, this.#xgrammar, this.#vocabulary, guard)
      })
    }
    this.#kept.set(key, grammar)
    this.#evict()
    return grammar
  }

  #evict(): void {
    // matchers share what they use, so that an entry may go at any time
    const isTight = this.memoryBytes > this.#limits.memoryBytes / 2
    for (const [key, grammar] of this.#kept) {
      if (this.#kept.size <= (isTight ? 1 : this.#limits.maxGrammars)) return
      this.#kept.delete(key)
      grammar.dispose()
    }
  }

  #guard<T>(run: () => T): T {
    if (this.#isBroken) throw new SlipwayError('internal', 'this grammar compiler has ended; make a new one')
    try {
      return run()
    } catch (error) {
      this.#isBroken = true
      throw faultFrom(this.#xgrammar.takeLog(), error)
    }
  }
}

function compileText({ form, text }: GrammarText, compiler: CompilerHandle, { bindings }: Xgrammar): Handle {
  if (form === 'structural-tag') return compiler.CompileStructuralTag(text)
  const grammar = bindings.Grammar.FromEBNF(text, 'root')
  try {
    return compiler.CompileGrammar(grammar)
  } finally {
    grammar.delete()
  }
}

/** Checks the syntax with an instance that may break over it, at no cost to a vocabulary. */
export async function checkSyntax(source: GrammarSource, memoryLimit: number): Promise<void> {
  const { form, text } = toGrammarText(source)
  const { bindings, takeLog } = await openXgrammar(memoryLimit)
  try {
    if (form === 'structural-tag') bindings.Grammar.FromStructuralTag(text)
    else bindings.Grammar.FromEBNF(text, 'root')
  } catch (error) {
    throw faultFrom(takeLog(), error)
  }
}

/** xgrammar's own words, without where in its sources they were said. */
function faultFrom(log: string, error: unknown): SlipwayError {
  const said = /\[FATAL\] [^\n]*?\.(?:cc|h):\d+: ([^\n]*)/.exec(log)?.[1]
  if (said !== undefined) return grammarFault(`the grammar cannot be used: ${said.slice(0, 500)}`)
  const message = error instanceof Error ? error.message : String(error)
  // what is left are exhausted memory and an exhausted stack
  return grammarFault(`the grammar is too large or too deep to be compiled (${message.slice(0, 80)}); make it smaller`)
}

/** A grammar ready to make masks. */
export class CompiledGrammar {
  /** Of a grammar that is ours, where these are not too many. */
  readonly rules: Rules | undefined
  readonly #handle: Handle
  readonly #xgrammar: Xgrammar
  readonly #vocabulary: Vocabulary
  readonly #guard: <T>(run: () => T) => T

  constructor(
    handle: Handle,
    rules: Rules | undefined,
    xgrammar: Xgrammar,
    vocabulary: Vocabulary,
    guard: <T>(run: () => T) => T,
  ) {
    this.#handle = handle
    this.rules = rules
    this.#xgrammar = xgrammar
    this.#vocabulary = vocabulary
    this.#guard = guard
  }

  /** A matcher at the beginning; `stopIds` end the text beside those of the vocabulary. */
  matcher(stopIds: readonly number[] = []): GrammarMatcher {
    const { bindings } = this.#xgrammar
    return new GrammarMatcher(
      () => {
        const ids = [...new Set([...this.#vocabulary.stopIds, ...stopIds])]
        // it takes a list, or none, but no empty one
        const stops = ids.length > 0 ? bindings.vecIntFromJSArray(ids) : undefined
        const matcher = new bindings.GrammarMatcher(this.#handle, stops, false, -1)
        stops?.delete()
        return matcher
      },
      bindings,
      this.#vocabulary.size,
      this.#guard,
    )
  }

  /** Frees the grammar; matchers of it go on. */
  dispose(): void {
    this.#handle.delete()
  }
}
