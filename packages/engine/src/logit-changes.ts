import { SlipwayError } from '@slipway/tensor'
import type { Sequence } from './sequence.ts'

/** What happens to the logit of one token; see the op `adjustLogits`. */
export interface TokenChange {
  readonly count: number
  readonly inPrompt: 0 | 1
  bias: number
}

/** What stands between a row of the model's logits and the draw. */
export interface LogitChanges {
  readonly tokens: ReadonlyMap<number, TokenChange>
  /** A bit for each token that may be drawn; undefined: all may. */
  readonly mask: Uint32Array | undefined
}

type Params = Sequence['request']['params']

/** Whether nothing but a mask may stand between the model's logits and the draw, and nothing is told of them. */
export function isAtMostMasked({ processors, numLogprobs, request: { params } }: Sequence): boolean {
  return (
    processors.length === 0 &&
    numLogprobs === undefined &&
    !hasPenalties(params) &&
    Object.keys(params.logitBias).length === 0
  )
}

function hasPenalties(params: Params): boolean {
  return params.repetitionPenalty !== 1 || params.frequencyPenalty !== 0 || params.presencePenalty !== 0
}

/** What a request asks to change in its next logits; an error where nothing is left, see `maskOf`. */
export function changesOf(sequence: Sequence, vocabSize: number): LogitChanges | SlipwayError {
  const { params } = sequence.request
  const tokens = new Map<number, TokenChange>()
  if (hasPenalties(params))
    for (const [token, { count, inPrompt }] of sequence.uses)
      tokens.set(token, { count, inPrompt: inPrompt ? 1 : 0, bias: 0 })
  for (const [token, bias] of Object.entries(params.logitBias)) {
    const change = tokens.get(Number(token))
    if (change) change.bias += bias
    else tokens.set(Number(token), { count: 0, inPrompt: 0, bias })
  }
  const mask = maskOf(sequence, vocabSize)
  return SlipwayError.is(mask) ? mask : { tokens, mask }
}

/**
 * A bit for each token that may come next; undefined: all may. Of what a request forbids, `minTokens` gives way where it
 * would leave nothing: a text that can only end has to. All else is kept to the letter, and an error is returned where it
 * leaves no token.
 */
export function maskOf(sequence: Sequence, vocabSize: number): Uint32Array | SlipwayError | undefined {
  const { params } = sequence.request
  const grammar = grammarMask(sequence)
  const wanted = intersection(grammar, sequence.allowedMask(vocabSize))
  const mask = params.badWordsTokenIds.length > 0 ? without(wanted, badTokens(sequence), vocabSize) : wanted
  // a grammar alone always leaves some, or its text is complete
  if (mask && mask !== grammar && !leavesAny(mask)) return nothingLeft(sequence)
  if (sequence.numGenerated >= params.minTokens) return mask
  const unended = without(mask, sequence.stopIds, vocabSize)
  return unended && leavesAny(unended) ? unended : mask
}

/** Tokens that would end a bad word. */
function badTokens({ request, tokens, numGenerated }: Sequence): Set<number> {
  const bans = new Set<number>()
  for (const word of request.params.badWordsTokenIds) {
    const before = word.length - 1
    // only what was generated counts: the prompt may hold what it likes
    if (before > numGenerated) continue
    const start = tokens.length - before
    if (word.every((id, i) => i === before || id === tokens[start + i])) bans.add(word[before]!)
  }
  return bans
}

function grammarMask({ matcher }: Sequence): Uint32Array | undefined {
  return matcher?.next?.state === 'masked' ? matcher.next.mask : undefined
}

function intersection(a: Uint32Array | undefined, b: Uint32Array | undefined): Uint32Array | undefined {
  return a && b ? a.map((word, i) => word & b[i]!) : (a ?? b)
}

/** A mask without the banned tokens; without any bans it stays what it is. */
function without(mask: Uint32Array | undefined, bans: ReadonlySet<number>, vocabSize: number): Uint32Array | undefined {
  if (bans.size === 0) return mask
  const left = mask?.slice() ?? wholeVocabulary(vocabSize)
  for (const id of bans) if (id < vocabSize) left[id >>> 5]! &= ~(1 << (id & 31))
  return left
}

function wholeVocabulary(vocabSize: number): Uint32Array {
  const mask = new Uint32Array(Math.ceil(vocabSize / 32)).fill(0xffffffff)
  if (vocabSize % 32 > 0) mask[mask.length - 1] = 2 ** (vocabSize % 32) - 1
  return mask
}

function leavesAny(mask: Uint32Array): boolean {
  return mask.some((word) => word !== 0)
}

function nothingLeft({ request: { params }, matcher }: Sequence): SlipwayError {
  const { allowedTokenIds, badWordsTokenIds } = params
  const asked = [
    ...(allowedTokenIds ? ['allowedTokenIds'] : []),
    ...(badWordsTokenIds.length > 0 ? ['badWords'] : []),
    ...(matcher ? ['structuredOutputs'] : []),
  ]
  const message = `${asked.join(' and ')} leave no token to go on with; loosen one of them`
  return new SlipwayError('request', message, { param: asked[0]! })
}
