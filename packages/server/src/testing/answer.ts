import type OpenAI from 'openai'
import { expect } from 'vitest'

type Message = OpenAI.ChatCompletionMessage & { readonly reasoning_content?: string }

/** The whole answer, after a check that a stream says the same. */
export async function answerOf(client: OpenAI, request: OpenAI.ChatCompletionCreateParamsNonStreaming) {
  const ask = () => client.chat.completions.create(request)
  // a machine that others use as well may need more than its time for a grammar; what was slow is tried again
  const whole = await ask().catch((error: unknown) =>
    String(error).includes(' s to prepare') ? ask() : Promise.reject(error),
  )
  const stream = await client.chat.completions.create({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  })
  const { length } = whole.choices
  const parts = Array.from({ length }, () => ({ content: '', reasoning: '', calls: [] as string[][], reason: '' }))
  let usage: typeof whole.usage | null
  for await (const chunk of stream) {
    usage = chunk.usage
    for (const { index, delta, finish_reason } of chunk.choices) {
      const part = parts[index]!
      part.content += delta.content ?? ''
      part.reasoning += (delta as { reasoning_content?: string }).reasoning_content ?? ''
      part.reason += finish_reason ?? ''
      for (const call of delta.tool_calls ?? []) {
        const pieces = (part.calls[call.index] ??= ['', ''])
        pieces[0] += call.function?.name ?? ''
        pieces[1] += call.function?.arguments ?? ''
      }
    }
  }
  // what the cache has of a prompt depends on what was asked before
  const counts = { ...whole.usage!, prompt_tokens_details: undefined }
  expect({ ...usage!, prompt_tokens_details: undefined }).toEqual(counts)
  expect(parts).toEqual(
    whole.choices.map(({ message, finish_reason }) => ({
      content: message.content ?? '',
      reasoning: (message as Message).reasoning_content ?? '',
      calls: (message.tool_calls ?? []).map((call) =>
        call.type === 'function' ? [call.function.name, call.function.arguments] : [],
      ),
      reason: finish_reason,
    })),
  )
  const [choice] = whole.choices
  return { message: choice!.message as Message, reason: choice!.finish_reason, usage: counts, choices: whole.choices }
}
