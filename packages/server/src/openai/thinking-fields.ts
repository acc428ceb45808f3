import { efforts, type ChatParams } from '@slipway/engine'
import { z } from 'zod'

const budget = z.int().min(0)

/** How much a model thinks: OpenAI's `reasoning_effort`, and what others call it. */
export const thinkingFields = {
  enable_thinking: z.boolean().optional(),
  reasoning_effort: z.enum(efforts).optional(),
  /** vLLM's name, FastDeploy's, and that of Qwen's own service. */
  thinking_token_budget: budget.optional(),
  reasoning_max_tokens: budget.optional(),
  thinking_budget: budget.optional(),
  /** As OpenRouter has it. */
  reasoning: z
    .strictObject({
      enabled: z.boolean().optional(),
      effort: z.enum(efforts).optional(),
      max_tokens: budget.optional(),
    })
    .optional(),
}

type Body = { readonly [K in keyof typeof thinkingFields]?: z.output<(typeof thinkingFields)[K]> }

/** Each of them under all of its names. */
const namesOf = ({ reasoning, ...body }: Body) => ({
  enableThinking: { enable_thinking: body.enable_thinking, 'reasoning.enabled': reasoning?.enabled },
  reasoningEffort: { reasoning_effort: body.reasoning_effort, 'reasoning.effort': reasoning?.effort },
  thinkingTokenBudget: {
    thinking_token_budget: body.thinking_token_budget,
    reasoning_max_tokens: body.reasoning_max_tokens,
    thinking_budget: body.thinking_budget,
    'reasoning.max_tokens': reasoning?.max_tokens,
  },
})

/** Adds the faults of saying the same thing twice. */
export function checkThinking(
  body: Body & { readonly chat_template_kwargs?: Readonly<Record<string, unknown>> | undefined },
  context: z.RefinementCtx,
): void {
  for (const values of Object.values(namesOf(body))) {
    const [first, second] = Object.entries(values).filter(([, value]) => value !== undefined)
    if (!first || !second) continue
    context.addIssue({ code: 'custom', path: second[0].split('.'), message: `says the same as ${first[0]}; give one` })
  }
  const kwargs = body.chat_template_kwargs ?? {}
  for (const name of ['enable_thinking', 'reasoning_effort'] as const)
    if (body[name] !== undefined && name in kwargs)
      context.addIssue({ code: 'custom', path: [name], message: 'is in chat_template_kwargs too; give one' })
}

export function thinkingOptions(
  body: Body,
): Pick<ChatParams, 'enableThinking' | 'reasoningEffort' | 'thinkingTokenBudget'> {
  const { enableThinking, reasoningEffort, thinkingTokenBudget } = namesOf(body)
  const given = <T>(values: Readonly<Record<string, T | undefined>>): T | undefined =>
    Object.values(values).find((value) => value !== undefined)
  return {
    enableThinking: given(enableThinking),
    reasoningEffort: given(reasoningEffort),
    thinkingTokenBudget: given(thinkingTokenBudget),
  }
}
