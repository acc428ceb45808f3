import type { ChatTemplate } from '@slipway/checkpoint'
import { leadingJson } from '../json-scanner.ts'
import { ParserRegistry } from '../registry.ts'
import type { EnvelopeForm } from '../tools/envelope-call.ts'
import { toolFormat, type ToolFormat } from '../tools/tool-format.ts'
import { jsonCall, type CallForm } from '../tools/call-form.ts'
import { bareJson, jsonInTags, mistralNames } from '../tools/tool-formats.ts'
import { callMessage, probes, renderAnswer, renderPrompt } from './probe.ts'

export interface DerivedTools {
  readonly format: ToolFormat
  /** Name of a format in the registry, or what was recognised, for messages. */
  readonly name: string
}

/** Markers that only one of the named formats has; the first that fits decides. */
const signs: readonly (readonly [name: string, ...markers: string[]])[] = [
  ['deepseek-v3', '<｜tool▁sep｜>', '```json'],
  ['deepseek-v3.1', '<｜tool▁sep｜>'],
  ['mistral', '[TOOL_CALLS]'],
  ['qwen3-coder', '<function=', '<parameter='],
  ['glm-4.5', '<arg_key>', '<arg_value>'],
]

/**
 * Finds out how a model writes tool calls: its chat template shows past calls in the form in which the model was taught
 * to write them. Undefined where the template shows none, or in a form that is not known.
 */
export function deriveTools(template: ChatTemplate, registry = ParserRegistry.builtIn()): DerivedTools | undefined {
  const text = renderCalls(template)
  if (!text) return undefined
  const name = signs.find(([, ...markers]) => markers.every((marker) => text.calls.includes(marker)))?.[0]
  if (name === undefined) return deriveJson(text)
  // the newer models put the name before the arguments; both are read by the same parser
  const isNamed = name === 'mistral' && !/\[TOOL_CALLS\]\s*\[/.test(text.calls)
  return { format: isNamed ? mistralNames : registry.tools(name), name }
}

interface RenderedCalls {
  /** From the end of what comes before the calls. */
  readonly calls: string
  readonly numCalls: number
  /** What follows the text of any answer. */
  readonly tail: string
}

function renderCalls(template: ChatTemplate): RenderedCalls | undefined {
  // some templates take one call only, some no content beside calls
  for (const numCalls of [2, 1])
    for (const content of [probes.content, '']) {
      const text = renderAnswer(template, callMessage(numCalls, content), true)
      if (text === undefined || !text.includes(probes.names[0]) || !text.includes(probes.value)) continue
      const at = text.lastIndexOf(probes.content)
      const isShown = at >= 0 && at < text.indexOf(probes.names[0])
      const begin = isShown ? at + probes.content.length : answerBegin(template, text)
      const plain = renderAnswer(template, { role: 'assistant', content: probes.content }, true) ?? ''
      const tail = plain.slice(plain.lastIndexOf(probes.content) + probes.content.length)
      return { calls: text.slice(begin), numCalls, tail }
    }
  return undefined
}

/** Where the answer begins if nothing of ours stands before it: a rendering agrees with its prompt up to there. */
function answerBegin(template: ChatTemplate, text: string): number {
  const prompt = renderPrompt(template, {}, true) ?? ''
  let at = 0
  while (at < prompt.length && prompt[at] === text[at]) at++
  // the calls and the prompt's end may be tags that begin alike
  const tag = text.lastIndexOf('<', at - 1)
  if (tag >= 0 && text.indexOf('>', tag) >= at) at = tag
  return Math.max(at, text.lastIndexOf(probes.question, text.indexOf(probes.names[0])) + probes.question.length)
}

function deriveJson(text: RenderedCalls): DerivedTools | undefined {
  const { calls, numCalls, tail } = text
  const first = findObject(calls, probes.names[0])
  if (!first) return undefined
  const open = withoutThinking(calls.slice(0, first.begin)).trim().replace(/\[$/, '').trim()
  const { form } = first
  const written = formOfCalls(text, first)
  if (open === '') return { format: toolFormat(bareJson(form, written)), name: 'JSON without tags' }
  const second = numCalls > 1 ? findObject(calls, probes.names[1]) : undefined
  const between = second ? withoutList(calls.slice(first.end, second.begin)) : ''
  // in a list the end tag stands behind the last call only
  const close =
    between === '' ? firstTag(beforeEnd(calls.slice((second ?? first).end), tail)) : beforeEnd(between, open)
  const name = `JSON between ${open} and ${close === '' ? 'the end' : close}`
  return { format: toolFormat(jsonInTags(open, close === '' ? undefined : close, form, written)), name }
}

/** The calls as the template writes them, but for what stands within their objects. */
function formOfCalls({ calls, numCalls, tail }: RenderedCalls, first: FoundObject): CallForm {
  const second = numCalls > 1 ? findObject(calls, probes.names[1]) : undefined
  const rest = calls.slice((second ?? first).end)
  return {
    open: withoutThinking(calls.slice(0, first.begin)).trimStart(),
    between: second && calls.slice(first.end, second.begin),
    close: (tail !== '' && rest.endsWith(tail) ? rest.slice(0, -tail.length) : rest).trimEnd(),
    call: jsonCall(first.form, first.form.wrapperKeys),
  }
}

function withoutList(text: string): string {
  return text.trim().replace(/^[\],;\s]+/, '')
}

function beforeEnd(text: string, end: string): string {
  return (end !== '' && text.endsWith(end) ? text.slice(0, -end.length) : text).trim()
}

/** Behind the last call the turn ends too, which may take more tags. */
function firstTag(text: string): string {
  const rest = withoutList(text)
  return /^<[^<>\s]+>/.exec(rest)?.[0] ?? rest
}

/** Reasoning that a template shows in every answer. */
function withoutThinking(text: string): string {
  const end = text.lastIndexOf('</think>')
  return end < 0 ? text : text.slice(end + '</think>'.length)
}

interface FoundObject {
  readonly begin: number
  readonly end: number
  readonly form: EnvelopeForm
}

/** The outermost JSON object around a name. */
function findObject(text: string, name: string): FoundObject | undefined {
  const at = text.indexOf(name)
  let found: FoundObject | undefined
  for (let begin = text.lastIndexOf('{', at); begin >= 0; begin = begin > 0 ? text.lastIndexOf('{', begin - 1) : -1) {
    const json = leadingJson(text.slice(begin))
    if (json === undefined || begin + json.length <= at) continue
    const form = formOf(JSON.parse(json) as Readonly<Record<string, unknown>>, name)
    if (form) found = { begin, end: begin + json.length, form }
  }
  return found
}

function formOf(value: Readonly<Record<string, unknown>>, name: string): EnvelopeForm | undefined {
  const keyOf = (isIt: (part: unknown) => boolean): string | undefined =>
    Object.keys(value).find((key) => isIt(value[key]))
  const nameKey = keyOf((part) => part === name)
  const argumentsKey = keyOf((part) => JSON.stringify(part).includes(probes.value) && !holds(part, name))
  if (nameKey !== undefined && argumentsKey !== undefined)
    return { nameKeys: [nameKey], argumentsKeys: argumentsKeys(argumentsKey), wrapperKeys: [] }
  const wrapperKey = keyOf((part) => holds(part, name))
  const inner = wrapperKey === undefined ? undefined : value[wrapperKey]
  if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return undefined
  const form = formOf(inner as Readonly<Record<string, unknown>>, name)
  return form && { ...form, wrapperKeys: [...form.wrapperKeys, wrapperKey!] }
}

function holds(part: unknown, name: string): boolean {
  return typeof part === 'object' && part !== null && JSON.stringify(part).includes(name)
}

/** Models mix up the two usual keys. */
function argumentsKeys(key: string): string[] {
  const usual = ['arguments', 'parameters']
  return usual.includes(key) ? [key, ...usual.filter((other) => other !== key)] : [key]
}
