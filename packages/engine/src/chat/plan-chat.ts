import type { ChatMessage, ChatTemplate, Tokenizer } from '@slipway/checkpoint'
import { toolGrammar, toSource, type ToolChoice, type ToolDefinition } from '@slipway/grammar'
import { endsInThinking, type ReasoningFormat, type ToolFormat } from '@slipway/parsers'
import { SlipwayError } from '@slipway/tensor'
import type { SamplingParams, StructuredOutputs } from '../sampling-params.ts'
import type { Thinking } from '../thinking.ts'
import { ChatAnswer, type AnswerOptions } from './chat-answer.ts'
import type { OutputFormats } from './output-formats.ts'
import { decideThinking, type ThinkingOptions } from './thinking-switches.ts'

/** A tool as the OpenAI API has it. */
export interface ChatTool {
  readonly type?: string
  readonly function: {
    readonly name: string
    readonly description?: string
    /** JSON schema of the arguments. */
    readonly parameters?: unknown
    /** Arguments always fit the schema, also where the model is free to call. */
    readonly strict?: boolean
  }
}

/** What can be asked of an answer in a conversation, beside its sampling. */
export interface ChatParams extends ThinkingOptions {
  /** Told to the model through its template. */
  readonly tools?: readonly ChatTool[] | undefined
  /** `auto`, the default, leaves calls to the model; `none` hides the tools from it. */
  readonly toolChoice?: ToolChoice | 'none' | undefined
  /** False: one call at most. */
  readonly parallelToolCalls?: boolean | undefined
  /** Further variables of the template. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>> | undefined
  /** False leaves the last message open; default true begins an answer. */
  readonly addGenerationPrompt?: boolean | undefined
}

/** A conversation made ready: what the engine is asked, and how its answers are read. */
export interface ChatPlan {
  readonly prompt: readonly number[]
  /** To be added to the request's own parameters. */
  readonly params: Pick<SamplingParams, 'keepSpecialTokens' | 'thinking' | 'structuredOutputs'>
  /** A reader for each of the completions. */
  readonly newAnswer: () => ChatAnswer
}

interface ModelFront {
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate
}

/** Renders a conversation and settles where its answer is constrained. Throws `request` for what cannot be had. */
export function planChat(
  { tokenizer, chatTemplate }: ModelFront,
  formats: OutputFormats,
  messages: readonly ChatMessage[],
  chat: ChatParams,
  { structuredOutputs, skipSpecialTokens = true }: SamplingParams,
): ChatPlan {
  const { toolChoice = 'auto', addGenerationPrompt = true } = chat
  // who wants no calls is best served by a model that knows of no tools
  const tools = toolChoice === 'none' ? [] : (chat.tools ?? [])
  const { reasoning } = formats
  const toolFormat = tools.length > 0 ? formats.tools : undefined
  const { variables, maxTokens } = decideThinking(chat, formats.switches, reasoning)
  const extra = { ...chat.chatTemplateKwargs, ...variables }
  const text = chatTemplate.render(messages, { addGenerationPrompt, tools, extra })
  const prompt = tokenizer.encode(text, { addSpecialTokens: false })
  const promptEndsInThinking = reasoning && endsInThinking(reasoning, text)
  const constraint =
    constrainCalls(chat, tools, toolFormat, structuredOutputs ?? undefined) ?? structuredOutputs ?? undefined
  const isThinkingWatched = constraint !== undefined || maxTokens !== undefined
  const thinking =
    reasoning && isThinkingWatched ? thinkingOf(reasoning, promptEndsInThinking, tokenizer, maxTokens) : undefined
  const keepSpecialTokens = specialMarkers(tokenizer, reasoning, toolFormat)
  const decode = { skipSpecialTokens, keepSpecialTokens }
  const options: AnswerOptions = { tokenizer, decode, reasoning, promptEndsInThinking, toolFormat, tools }
  return {
    prompt,
    params: {
      keepSpecialTokens,
      ...(constraint && { structuredOutputs: constraint }),
      ...(thinking && { thinking }),
    },
    newAnswer: () => new ChatAnswer(options),
  }
}

/** The constraint of an answer that has to hold calls, or whose calls have to be of a certain kind. */
function constrainCalls(
  { toolChoice = 'auto', parallelToolCalls = true }: ChatParams,
  tools: readonly ChatTool[],
  format: ToolFormat | undefined,
  asked: StructuredOutputs | undefined,
): StructuredOutputs | undefined {
  if (toolChoice === 'none') return undefined
  const isForced = toolChoice !== 'auto'
  if (isForced && tools.length === 0) throw refusal('toolChoice', 'there are no tools to choose from; give some')
  if (typeof toolChoice === 'object' && !tools.some((tool) => tool.function.name === toolChoice.name))
    throw refusal('toolChoice', `there is no tool named ${JSON.stringify(toolChoice.name)}; use one that is given`)
  const isStrict = tools.some((tool) => tool.function.strict)
  const isLimited = tools.length > 0 && !parallelToolCalls
  if (!isForced && !isStrict && !isLimited && !(asked && tools.length > 0)) return undefined
  if (!format?.form) {
    if (!isForced && !isStrict && !isLimited) return undefined
    const param = isForced ? 'toolChoice' : isStrict ? 'tools' : 'parallelToolCalls'
    throw refusal(param, 'it is not known how this model writes calls, so none can be forced; name a toolCallParser')
  }
  if (isForced && asked) throw refusal('toolChoice', 'calls are forced, so the text can have no other form; give one')
  const source = asked && toSource(asked)
  const hasOwnGrammar = source?.kind === 'grammar' || source?.kind === 'structuralTag'
  if (hasOwnGrammar && !isStrict && !isLimited) return undefined
  const definitions = tools.map(toDefinition)
  return {
    ...toolGrammar(format.form, definitions, toolChoice, { parallel: parallelToolCalls, otherwise: source }),
    ...(asked?.after !== undefined && { after: asked.after }),
  }
}

function toDefinition({ function: { name, parameters, strict = false } }: ChatTool): ToolDefinition {
  return { name, strict, ...(parameters != null && { parameters: parameters as Readonly<Record<string, unknown>> }) }
}

function thinkingOf(
  { start, end, isImplicit }: ReasoningFormat,
  promptEndsInThinking: boolean | undefined,
  tokenizer: Tokenizer,
  maxTokens: number | undefined,
): Thinking {
  const ids = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false })
  const isOpen = promptEndsInThinking ?? (isImplicit ? true : undefined)
  return { startIds: ids(start), endIds: ids(end), isOpen, maxTokens }
}

/** Ids of the markers that a tokenizer would leave out as special tokens. */
function specialMarkers(
  tokenizer: Tokenizer,
  reasoning: ReasoningFormat | undefined,
  tools: ToolFormat | undefined,
): number[] {
  const tags = reasoning ? [reasoning.start, reasoning.end, reasoning.answer?.start, reasoning.answer?.end] : []
  const ids = [...tags, ...(tools?.markers ?? [])].map((text) =>
    text === undefined ? undefined : tokenizer.tokenToId(text),
  )
  return ids.filter((id) => id !== undefined && tokenizer.isSpecial(id)) as number[]
}

function refusal(param: string, message: string): SlipwayError {
  return new SlipwayError('request', `${param}: ${message}`, { param })
}
