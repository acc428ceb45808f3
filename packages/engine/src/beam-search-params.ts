import { SlipwayError } from '@slipway/tensor'
import { z } from 'zod'
import { parseOptions } from './options.ts'

/** What can be asked of a beam search. Names are vLLM's, meanings those of transformers. */
export interface BeamSearchParams {
  /** Beams that go on side by side; all of them run in one step. */
  readonly beamWidth: number
  /** How many to give back, best first; absent: all. */
  readonly n?: number | undefined
  /** Most tokens to generate; absent or null: until the model's length limit. */
  readonly maxTokens?: number | null | undefined
  /** Beams are compared by log-probability / length ** lengthPenalty; default 1. */
  readonly lengthPenalty?: number | undefined
  /** true: stop when enough beams have ended; false: when no better ones are likely; 'never': when none are possible. */
  readonly earlyStopping?: boolean | 'never' | undefined
  readonly stopTokenIds?: readonly number[] | undefined
  readonly ignoreEos?: boolean | undefined
  readonly includeStopStrInOutput?: boolean | undefined
  readonly skipSpecialTokens?: boolean | undefined
  readonly keepSpecialTokens?: readonly number[] | undefined
}

const schema = z
  .strictObject({
    beamWidth: z.int().min(1).max(64),
    n: z.int().min(1).optional(),
    maxTokens: z.int().nullish(),
    lengthPenalty: z.number().min(-100).max(100).default(1),
    earlyStopping: z.union([z.boolean(), z.literal('never')]).default(false),
    // each one is a candidate more for every beam
    stopTokenIds: z.array(z.int()).max(16).optional(),
    ignoreEos: z.boolean().optional(),
    includeStopStrInOutput: z.boolean().optional(),
    skipSpecialTokens: z.boolean().optional(),
    keepSpecialTokens: z.array(z.int()).optional(),
  })
  .refine(({ n, beamWidth }) => n === undefined || n <= beamWidth, {
    path: ['n'],
    message: 'is above beamWidth; lower it, or widen the beam',
  })

/** As an engine request carries it. */
export interface ResolvedBeamSearch {
  readonly beamWidth: number
  readonly lengthPenalty: number
  readonly earlyStopping: boolean | 'never'
}

/** Splits the parameters into what is the search's own and what is any request's; a `request` error names a fault. */
export function resolveBeamSearch(params: BeamSearchParams, maxNumSeqs: number) {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined))
  const { beamWidth, lengthPenalty, earlyStopping, n = beamWidth, ...rest } = parseOptions(schema, given, 'parameter')
  if (beamWidth > maxNumSeqs)
    throw new SlipwayError('request', `beamWidth ${beamWidth} is above maxNumSeqs ${maxNumSeqs}; lower it`, {
      param: 'beamWidth',
    })
  const beamSearch: ResolvedBeamSearch = { beamWidth, lengthPenalty, earlyStopping }
  return { beamSearch, sampling: { ...rest, n, temperature: 0 } }
}
