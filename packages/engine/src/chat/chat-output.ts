import { OutputCollector, type ToolCall } from '@slipway/parsers'
import type { CompletionOutput, RequestOutput } from '../outputs.ts'
import type { ChatAnswer } from './chat-answer.ts'
import type { ChatPlan } from './plan-chat.ts'

/** An answer in its parts. */
export interface AnswerMessage {
  readonly role: 'assistant'
  readonly content: string
  /** Empty where the model did not think. */
  readonly reasoningContent: string
  readonly toolCalls: readonly ToolCall[]
}

/** The answers to one conversation; `text` is what the model wrote, `message` what it says. */
export interface ChatOutput extends RequestOutput {
  readonly outputs: readonly (CompletionOutput & { readonly message: AnswerMessage })[]
}

/** Reads a whole answer; `answer` is a fresh reader. */
export function readMessage({ text, tokenIds }: CompletionOutput, answer: ChatAnswer): AnswerMessage {
  const collector = new OutputCollector()
  collector.add(answer.push(text, tokenIds))
  collector.add(answer.finish())
  const { reasoning, content, toolCalls } = collector.output
  return { role: 'assistant', content, reasoningContent: reasoning, toolCalls }
}

export function toChatOutput(output: RequestOutput, { newAnswer }: ChatPlan): ChatOutput {
  return {
    ...output,
    outputs: output.outputs.map((one) => ({ ...one, message: readMessage(one, newAnswer()) })),
  }
}
