import { SlipwayError } from '@slipway/tensor'
import type { Sequence } from './sequence.ts'

/** What happens to the logit of one token; see the op `adjustLogits`. */
export interface TokenChange {
  readonly count: number
  readonly inPrompt: 0 | 1
  /** -Infinity bans it. */
  bias: number
}

/** What stands between a row of the model's logits and the draw. */
export interface LogitChanges {
  readonly tokens: ReadonlyMap<number, TokenChange>
  /** A bit for each token that may be drawn; undefined: all may. */
  readonly mask: Uint32Array | undefined
}

type Params = Sequence['request']['params']

/** Whether the next token is drawn from the model's own logits, and nothing is told of them. */
export function isPlain(sequence: Sequence): boolean {
  const { params } = sequence.request
  return (
    sequence.canSample &&
    !grammarMask(sequence) &&
    !params.allowedTokenIds &&
    params.badWordsTokenIds.length === 0 &&
    sequence.processors.length === 0 &&
    sequence.numLogprobs === undefined &&
    !hasPenalties(params) &&
    sequence.numGenerated >= params.minTokens &&
    Object.keys(params.logitBias).length === 0
  )
}

function hasPenalties(params: Params): boolean {
  return params.repetitionPenalty !== 1 || params.frequencyPenalty !== 0 || params.presencePenalty !== 0
}

/**
 * What a request asks to change in its next logits. Of what it forbids, `minTokens` gives way where it would leave
 * nothing: a text that can only end has to. All else is kept to the letter, and an error is returned where it leaves no
 * token.
 */
export function changesOf(sequence: Sequence, vocabSize: number): LogitChanges | SlipwayError {
  const { params } = sequence.request
  const tokens = new Map<number, TokenChange>()
  if (hasPenalties(params))
    for (const [token, { count, inPrompt }] of sequence.uses)
      tokens.set(token, { count, inPrompt: inPrompt ? 1 : 0, bias: 0 })
  const addBias = (token: number, bias: number): void => {
    const change = tokens.get(token)
    if (change) change.bias += bias
    else tokens.set(token, { count: 0, inPrompt: 0, bias })
  }
  for (const [token, bias] of Object.entries(params.logitBias)) addBias(Number(token), bias)
  const allowed = sequence.allowedMask(vocabSize)
  const mask = intersection(grammarMask(sequence), allowed)
  const bans = badTokens(sequence)
  if ((mask || bans.size > 0) && !leavesAny(mask, vocabSize, bans)) return nothingLeft(sequence)
  if (sequence.numGenerated < params.minTokens) {
    const all = new Set([...bans, ...sequence.stopIds])
    if (leavesAny(mask, vocabSize, all)) for (const token of sequence.stopIds) bans.add(token)
  }
  for (const token of bans) addBias(token, -Infinity)
  return { tokens, mask }
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

/** Whether a mask, or else the whole vocabulary, holds tokens that are not banned. */
function leavesAny(mask: Uint32Array | undefined, vocabSize: number, bans: ReadonlySet<number>): boolean {
  if (!mask) return vocabSize > [...bans].reduce((sum, id) => sum + Number(id < vocabSize), 0)
  for (let i = 0; i < mask.length; i++)
    for (let word = mask[i]!; word !== 0; word &= word - 1)
      if (!bans.has(32 * i + 31 - Math.clz32(word & -word))) return true
  return false
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
