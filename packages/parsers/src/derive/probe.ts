import type { ChatMessage, ChatTemplate, RenderOptions } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'

/** Texts that no template has, so that their places in a rendering show what the template puts around them. */
export const probes = {
  question: 'zqaskzq',
  content: 'zqsayzq',
  reasoning: 'zqwhyzq',
  tool: 'zqtoolzq',
  names: ['zqcallonezq', 'zqcalltwozq'],
  key: 'zqkeyzq',
  value: 'zqvaluezq',
  // Mistral's templates take ids of nine letters only
  ids: ['zqidone01', 'zqidtwo02'],
} as const

const user: ChatMessage = { role: 'user', content: probes.question }

const tools = [
  {
    type: 'function',
    function: {
      name: probes.tool,
      description: probes.tool,
      parameters: { type: 'object', properties: { [probes.tool]: { type: 'string', description: probes.tool } } },
    },
  },
]

/** What the template makes of an answer to a question; undefined where it refuses or cannot. */
export function renderAnswer(template: ChatTemplate, answer: ChatMessage, withTools: boolean): string | undefined {
  return render(template, [user, answer], { addGenerationPrompt: false, ...(withTools && { tools }) })
}

/** A question and the beginning of an answer. */
export function renderPrompt(
  template: ChatTemplate,
  extra: Readonly<Record<string, unknown>>,
  withTools = false,
): string | undefined {
  return render(template, [user], { addGenerationPrompt: true, extra, ...(withTools && { tools }) })
}

function render(template: ChatTemplate, messages: readonly ChatMessage[], options: RenderOptions): string | undefined {
  try {
    return template.render(messages, options)
  } catch (error) {
    // the template refuses the messages, or was not made for such
    if (SlipwayError.is(error) && error.kind === 'request') return undefined
    throw error
  }
}

/** An answer with calls, as the template's messages hold it. */
export function callMessage(numCalls: number, content: string): ChatMessage {
  const calls = Array.from({ length: numCalls }, (_, i) => ({
    id: probes.ids[i],
    type: 'function',
    function: { name: probes.names[i], arguments: { [probes.key]: probes.value } },
  }))
  return { role: 'assistant', content, tool_calls: calls }
}
