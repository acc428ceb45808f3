import type { ChatTemplate } from '@slipway/checkpoint'
import type { ReasoningFormat } from '../reasoning/reasoning-format.ts'
import { probes, renderAnswer, renderPrompt } from './probe.ts'

/**
 * Finds the tags of a model's reasoning from its chat template: from past reasoning that it shows, from prompts with
 * thinking turned on and off, or from past answers out of which it cuts the reasoning. Undefined where it has none.
 */
export function deriveReasoning(template: ChatTemplate): ReasoningFormat | undefined {
  return fromPastReasoning(template) ?? fromPrompts(template) ?? fromCutting(template)
}

const thinking = { start: '<think>', end: '</think>' }

function fromPastReasoning(template: ChatTemplate): ReasoningFormat | undefined {
  const { content, reasoning } = probes
  const text = renderAnswer(template, { role: 'assistant', content, reasoning_content: reasoning }, false)
  const at = text?.indexOf(reasoning) ?? -1
  if (text === undefined || at < 0 || text.indexOf(content) < at) return undefined
  const start = /<[^<>\s]+>$|\[[^[\]\s]+\]$/.exec(text.slice(0, at).trimEnd())?.[0]
  const rest = text.slice(at + reasoning.length, text.indexOf(content)).trim()
  const end = /^(?:<[^<>\s]+>|\[[^[\]\s]+\])/.exec(rest)?.[0]
  if (start === undefined || end === undefined || start === end) return undefined
  const after = text.slice(text.indexOf(content) + content.length).trim()
  const answer = rest.slice(end.length).trim()
  const close = answer.replace('<', '</')
  const isTag = /^<[^<>/\s]+>$/.test(answer) && after.startsWith(close)
  return { start, end, ...(isTag && { answer: { start: answer, end: close } }) }
}

/** Turned off, a prompt holds a pair of tags with nothing in it, or the end tag; turned on, it may end with the start. */
function fromPrompts(template: ChatTemplate): ReasoningFormat | undefined {
  const switches = [{}, ...[true, false].map((on) => ({ enable_thinking: on, thinking: on }))]
  for (const extra of switches) {
    const text = renderPrompt(template, extra)?.trimEnd() ?? ''
    const last = text.slice(text.lastIndexOf(probes.question) + probes.question.length)
    const tag = /<([\w:]+)>\s*<\/\1>$/.exec(last) ?? /<\/?(think|thinking|thought|reasoning)>$/.exec(last)
    if (tag) return { start: `<${tag[1]}>`, end: `</${tag[1]}>` }
  }
  return undefined
}

function fromCutting(template: ChatTemplate): ReasoningFormat | undefined {
  const { content, reasoning } = probes
  const past = `${thinking.start}\n${reasoning}\n${thinking.end}\n\n${content}`
  const text = renderAnswer(template, { role: 'assistant', content: past }, false) ?? ''
  return text.includes(content) && !text.includes(reasoning) ? thinking : undefined
}
