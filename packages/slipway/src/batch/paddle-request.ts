import type { LLM } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { PaddleLine } from './lines.ts'
import type { PaddleFlags } from './paddle-flags.ts'

/** New tokens where nothing is said, as in PaddleNLP. */
const usualLength = 1024

/**
 * The completion that a PaddleNLP line asks for: its turns in the model's chat template where there is one, of which the
 * last `srcLength` tokens are kept.
 */
export function paddleRequest(line: PaddleLine, llm: LLM, flags: PaddleFlags) {
  const ids = promptIds(line, llm)
  const prompt = flags.srcLength === undefined ? ids : ids.slice(-flags.srcLength)
  const room = Math.max(1, llm.info.maxModelLen - prompt.length)
  const body = {
    prompt,
    max_tokens: flags.maxLength ?? Math.min(usualLength, room),
    min_tokens: flags.minLength,
    top_k: flags.topK,
    top_p: flags.topP,
    temperature: flags.decodeStrategy === 'greedy_search' ? 0 : flags.temperature,
    repetition_penalty: flags.repetitionPenalty,
  }
  return { url: '/v1/completions', body: body as Readonly<Record<string, unknown>> }
}

function promptIds({ turns }: PaddleLine, llm: LLM): readonly number[] {
  if (llm.chatTemplate.isPresent) return llm.renderChat(turns)
  return llm.tokenizer.encode(turns.map(({ content }) => content as string).join('\n'))
}

/** Throws for lengths that can never fit, and for flags that contradict each other. */
export function checkPaddleFlags(flags: PaddleFlags, maxModelLen: number): void {
  const { srcLength, maxLength, temperature, decodeStrategy } = flags
  const refuse = (message: string): never => {
    throw new SlipwayError('request', message)
  }
  for (const [name, value] of Object.entries({ 'src-length': srcLength, 'max-length': maxLength }))
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      refuse(`--${name}: ${value} is no count of tokens; use a whole number from 1 on`)
  if (decodeStrategy === 'greedy_search' && temperature !== undefined && temperature !== 0)
    refuse(`--temperature: ${temperature} contradicts --decode-strategy greedy_search; leave one away`)
  if ((srcLength ?? 0) + (maxLength ?? 0) > maxModelLen)
    refuse(`--src-length ${srcLength ?? 0} and --max-length ${maxLength ?? 0} exceed the model's ${maxModelLen} tokens`)
}

/** The text of a completion. */
export function answerText(body: Readonly<Record<string, unknown>>): string {
  return (body['choices'] as readonly { readonly text: string }[])[0]!.text
}
