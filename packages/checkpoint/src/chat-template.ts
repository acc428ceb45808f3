import { Interpreter, Template } from '@huggingface/jinja'
import { SlipwayError } from '@slipway/tensor'
import { messageOf, readText } from './json-file.ts'
import { readTemplateFiles } from './template-files.ts'
import type { TemplateFiles, TemplateSource } from './template-files.ts'
import { repairTemplate } from './template-repairs.ts'
import { TemplateRefusal, templateEnvironment } from './template-globals.ts'

/** A message as the OpenAI API has it; a template sees whatever fields it carries. */
export interface ChatMessage {
  readonly role: string
  readonly content?: unknown
  readonly [field: string]: unknown
}

export interface RenderOptions {
  /** Ends the text where the assistant's answer begins. */
  readonly addGenerationPrompt: boolean
  /** Tools as the OpenAI API has them. */
  readonly tools?: readonly unknown[] | undefined
  /** Further variables for the template, such as `enable_thinking`. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined
}

/** Names that the template gets from us. */
const ownNames = new Set(['messages', 'tools', 'add_generation_prompt'])

/** Turns a conversation into the text that the model was trained on. */
export class ChatTemplate {
  readonly #templates: ReadonlyMap<string, Template>
  readonly #specialTokens: Readonly<Record<string, string>>

  /** Parses all templates; a broken one is a `checkpoint` error with the line near the fault. */
  constructor({ templates, specialTokens }: TemplateFiles) {
    this.#templates = new Map([...templates].map(([name, source]) => [name, parse(source)]))
    this.#specialTokens = specialTokens
  }

  /** Reads the template from a model's directory, or from `templateFile` if one is given instead. */
  static async load(
    directory: string,
    { templateFile }: { templateFile?: string | undefined } = {},
  ): Promise<ChatTemplate> {
    const files = await readTemplateFiles(directory)
    if (templateFile === undefined) return new ChatTemplate(files)
    const source = await readText(templateFile)
    if (source !== undefined) {
      const templates = new Map([['default', { source, file: templateFile }]])
      return new ChatTemplate({ templates, specialTokens: files.specialTokens })
    }
    throw new SlipwayError('checkpoint', `${templateFile}: there is no such chat template`, { file: templateFile })
  }

  /** False for a model without a template, which can complete text but not chat. */
  get isPresent(): boolean {
    return this.#templates.size > 0
  }

  /** Throws a `request` error, with the template's own words where it refuses the messages. */
  render(messages: readonly ChatMessage[], { addGenerationPrompt, tools, extra = {} }: RenderOptions): string {
    const template = this.#pick(tools !== undefined && tools.length > 0)
    const environment = templateEnvironment(new Date())
    for (const name of Object.keys(extra)) {
      if (!ownNames.has(name) && !(name in this.#specialTokens) && !environment.variables.has(name)) continue
      const message = `"${name}" is reserved and cannot be a variable of the chat template`
      throw new SlipwayError('request', message, { param: `chat_template_kwargs.${name}` })
    }
    const own = { messages, tools: tools?.length ? tools : null, add_generation_prompt: addGenerationPrompt }
    try {
      // a template asks whether documents are null before it uses them
      const variables = { documents: null, ...extra, ...this.#specialTokens, ...own }
      for (const [name, value] of Object.entries(variables)) environment.set(name, value)
      const result: unknown = new Interpreter(environment).run(template.parsed).value
      if (typeof result !== 'string') throw new Error('it gave no text')
      return result
    } catch (error) {
      const reason =
        error instanceof TemplateRefusal
          ? 'the chat template refuses the messages'
          : 'the chat template cannot render the messages'
      throw new SlipwayError('request', `${reason}: ${messageOf(error)}`, { param: 'messages' }, { cause: error })
    }
  }

  #pick(hasTools: boolean): Template {
    const named = (hasTools ? this.#templates.get('tool_use') : undefined) ?? this.#templates.get('default')
    // a single template under another name can only be meant for everything
    const template = named ?? (this.#templates.size === 1 ? [...this.#templates.values()][0] : undefined)
    if (template) return template
    const message =
      this.#templates.size === 0
        ? 'this model has no chat template; use /v1/completions, or start the server with --chat-template'
        : `this model has no chat template named "default", only ${[...this.#templates.keys()].join(', ')}; choose one with --chat-template`
    throw new SlipwayError('request', message, { param: 'messages' })
  }
}

function parse({ source, file }: TemplateSource): Template {
  const fault = faultOf(source)
  if (fault === undefined) {
    const template = new Template(source)
    repairTemplate(template)
    return template
  }
  const line = source.slice(0, endOfFault(source, fault)).split('\n').length
  const message = `${file}: near line ${line}: the chat template is broken: ${fault}; mend it, or give another with --chat-template`
  throw new SlipwayError('checkpoint', message, { file, line })
}

function faultOf(source: string): string | undefined {
  try {
    void new Template(source)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** The library tells no place, so: the end of the shortest run of leading tags that fails in the same way. */
function endOfFault(source: string, fault: string): number {
  const ends = [...source.matchAll(/[%}#]\}/g)].map((match) => match.index + 2)
  let [low, high] = [0, ends.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (faultOf(source.slice(0, ends[middle])) === fault) high = middle
    else low = middle + 1
  }
  return ends[low] ?? source.length
}
