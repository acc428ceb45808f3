import type { ChatTemplate } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import type { ReasoningFormat } from '@slipway/parsers'

/** The variables of a chat template that turn thinking on and off, or say how much of it is wanted. */
export interface ThinkingSwitches {
  /** Names of those that take true and false. */
  readonly onOff: readonly string[]
  readonly hasEffort: boolean
}

const names = ['enable_thinking', 'thinking']

/** Finds out which variables change what a template makes of a question. */
export function findSwitches(template: ChatTemplate): ThinkingSwitches {
  const differ = (name: string, values: readonly unknown[]): boolean =>
    new Set(values.map((value) => render(template, value === undefined ? {} : { [name]: value }))).size > 1
  return {
    onOff: names.filter((name) => differ(name, [undefined, true, false])),
    hasEffort: differ('reasoning_effort', ['low', 'high']),
  }
}

function render(template: ChatTemplate, extra: Readonly<Record<string, unknown>>): string | undefined {
  try {
    return template.render([{ role: 'user', content: 'Hi' }], { addGenerationPrompt: true, extra })
  } catch (error) {
    if (SlipwayError.is(error) && error.kind === 'request') return undefined
    throw error
  }
}

export const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const
export type ReasoningEffort = (typeof efforts)[number]

/** Most tokens of thinking where the template knows no efforts. */
const effortBudgets: Readonly<Partial<Record<ReasoningEffort, number>>> = { minimal: 512, low: 1024, medium: 8192 }

export interface ThinkingOptions {
  /** False: the model answers at once. */
  readonly enableThinking?: boolean | undefined
  /** `none` is `enableThinking: false`; others go to the template if it knows them, and else bound the thinking. */
  readonly reasoningEffort?: ReasoningEffort | undefined
  /** Most tokens of thinking; then the tag that ends it is forced. */
  readonly thinkingTokenBudget?: number | undefined
}

/** What the template is told, and how many tokens of thinking there may be. */
export function decideThinking(
  { enableThinking, reasoningEffort, thinkingTokenBudget }: ThinkingOptions,
  { onOff, hasEffort }: ThinkingSwitches,
  reasoning: ReasoningFormat | undefined,
): { readonly variables: Readonly<Record<string, unknown>>; readonly maxTokens: number | undefined } {
  const isOff = reasoningEffort === 'none'
  if (isOff && enableThinking === true)
    throw refusal('enableThinking', 'true contradicts reasoningEffort none; give one of them')
  const wanted = isOff ? false : enableThinking
  const hasAmount = reasoningEffort !== undefined && !isOff
  if (hasAmount && wanted === false)
    throw refusal('reasoningEffort', 'there is none without thinking; remove it, or enableThinking')
  if (thinkingTokenBudget !== undefined && !reasoning)
    throw refusal('thinkingTokenBudget', 'it is not known how this model marks its thinking; name a reasoningParser')
  if (hasAmount && !hasEffort && !reasoning)
    throw refusal('reasoningEffort', 'this model is not known to think; remove it, or name a reasoningParser')
  const switches = onOff.length > 0 ? onOff : ['enable_thinking']
  const variables = {
    ...(wanted !== undefined && Object.fromEntries(switches.map((name) => [name, wanted]))),
    ...(hasAmount && hasEffort && { reasoning_effort: reasoningEffort }),
  }
  const budget = hasAmount && !hasEffort ? effortBudgets[reasoningEffort] : undefined
  // where the template has no switch, thinking ends as soon as it begins
  const none = wanted === false && onOff.length === 0 && reasoning ? 0 : undefined
  return { variables, maxTokens: none ?? thinkingTokenBudget ?? budget }
}

function refusal(param: string, message: string): SlipwayError {
  return new SlipwayError('request', `${param}: ${message}`, { param })
}
