import { fileURLToPath } from 'node:url'
import { Engine, type StepOutput } from '../engine.ts'
import { loadEngine } from '../load-engine.ts'
import { resolveEngineOptions, type EngineOptions } from '../options.ts'
import { resolveParams, type SamplingParams } from '../sampling-params.ts'
import { resolveScheduling, type SchedulingOptions } from '../scheduling-options.ts'
import type { RawLogprobs } from '../runner.ts'
import type { EngineRequest } from '../sequence.ts'

/** A tiny random Qwen3 checkpoint; its answers mean nothing, but every bit of them counts. */
export const tinyModel: string = fileURLToPath(new URL('../../../models/fixtures/qwen3', import.meta.url))

export interface Answer {
  tokenIds: number[]
  logprobs: RawLogprobs[]
  promptLogprobs?: readonly RawLogprobs[]
  finishReason: string | undefined
  error?: string
  score?: number
}

/** An engine in this thread, step by step in the test's hands. */
export async function openEngine(options: EngineOptions = {}, model = tinyModel) {
  const setup = { model, directory: model, options: resolveEngineOptions({ maxNumSeqs: 16, ...options }) }
  const { engine, info, device, adapters } = await loadEngine(setup, () => {})
  return { engine, info, device, adapters }
}

export function addRequest(
  engine: Engine,
  requestId: string,
  prompt: readonly number[],
  params: SamplingParams,
  scheduling: SchedulingOptions = {},
  { lora, beamSearch }: Partial<Pick<EngineRequest, 'lora' | 'beamSearch'>> = {},
): void {
  const resolved = resolveParams(params, { vocabSize: 1 << 20, maxModelLen: 4096 })
  engine.add({
    requestId,
    promptTokenIds: prompt,
    params: { ...resolved, seed: resolved.seed ?? 1, maxTokens: resolved.maxTokens ?? 16 },
    scheduling: resolveScheduling(scheduling),
    ...(lora !== undefined && { lora }),
    ...(beamSearch && { beamSearch }),
  })
}

/** Gathers outputs by `requestId/index`; throws if a sequence ends twice or goes on after its end. */
export class Answers {
  readonly all = new Map<string, Answer>()

  take(outputs: readonly StepOutput[]): void {
    for (const { requestId, index, tokenIds, logprobs, promptLogprobs, score, finish, error } of outputs) {
      const key = `${requestId}/${index}`
      const answer = this.all.get(key) ?? { tokenIds: [], logprobs: [], finishReason: undefined }
      if (answer.finishReason) throw new Error(`${key} goes on after its end`)
      answer.tokenIds.push(...tokenIds)
      answer.logprobs.push(...(logprobs ?? []))
      if (score !== undefined) answer.score = score
      if (promptLogprobs) answer.promptLogprobs = promptLogprobs
      if (error) answer.error = error.message
      answer.finishReason = finish?.reason
      this.all.set(key, answer)
    }
  }
}

/** Steps until nothing is left. */
export async function drain(engine: Engine, answers = new Answers()): Promise<Map<string, Answer>> {
  while (engine.hasWork) answers.take(await engine.step())
  engine.checkIdle()
  return answers.all
}
