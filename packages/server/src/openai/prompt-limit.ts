import type { ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'

/**
 * Refuses text that is too long for the model whatever its tokens, before time is spent on template and tokenizer:
 * both run in the thread that serves HTTP. What passes is still counted exactly by the engine.
 */
export function requireFits({ llm, longestToken }: ServerContext, messages: readonly unknown[], param: string): void {
  const { maxModelLen } = llm.info
  const characters = textLength(messages)
  // every message takes a token at least
  if (messages.length <= maxModelLen && characters <= maxModelLen * longestToken()) return
  const size =
    messages.length > 1 ? `${messages.length} messages and ${characters} characters` : `${characters} characters`
  throw refusal(`${param}: ${size} are too long for the ${maxModelLen} tokens of this model; shorten it`, {
    param,
    code: 'context_length_exceeded',
  })
}

/** Characters of all texts in a value. */
function textLength(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce<number>((sum, part) => sum + textLength(part), 0)
}
