import { SlipwayError } from '@slipway/tensor'
import { reasoningFormats, type ReasoningFormat } from './reasoning/reasoning-format.ts'
import type { ToolFormat } from './tools/tool-format.ts'
import { toolFormats } from './tools/tool-formats.ts'

/**
 * The formats that can be named. A registry is a value: adding gives another one.
 *
 * @example
 * const registry = ParserRegistry.builtIn().withReasoning('mine', { start: '<plan>', end: '</plan>' })
 */
export class ParserRegistry {
  readonly #reasoning: ReadonlyMap<string, ReasoningFormat>
  readonly #tools: ReadonlyMap<string, ToolFormat>

  private constructor(reasoning: ReadonlyMap<string, ReasoningFormat>, tools: ReadonlyMap<string, ToolFormat>) {
    this.#reasoning = reasoning
    this.#tools = tools
  }

  static builtIn(): ParserRegistry {
    return new ParserRegistry(new Map(Object.entries(reasoningFormats)), new Map(Object.entries(toolFormats)))
  }

  withReasoning(name: string, format: ReasoningFormat): ParserRegistry {
    if (format.start === '' || format.end === '' || format.start === format.end)
      throw new SlipwayError(
        'request',
        `reasoning parser ${name}: start ${JSON.stringify(format.start)} and end ${JSON.stringify(format.end)} must be two different texts`,
      )
    return new ParserRegistry(new Map([...this.#reasoning, [name, format]]), this.#tools)
  }

  withTools(name: string, format: ToolFormat): ParserRegistry {
    return new ParserRegistry(this.#reasoning, new Map([...this.#tools, [name, format]]))
  }

  get reasoningNames(): readonly string[] {
    return [...this.#reasoning.keys()]
  }

  get toolNames(): readonly string[] {
    return [...this.#tools.keys()]
  }

  /** Throws a `request` error that lists the known names. */
  reasoning(name: string): ReasoningFormat {
    return find(this.#reasoning, name, 'reasoning')
  }

  tools(name: string): ToolFormat {
    return find(this.#tools, name, 'tool call')
  }
}

function find<Format>(formats: ReadonlyMap<string, Format>, name: string, kind: string): Format {
  const format = formats.get(name)
  if (format !== undefined) return format
  const known = [...formats.keys()].join(', ')
  throw new SlipwayError('request', `there is no ${kind} parser "${name}"; use one of ${known}`)
}
