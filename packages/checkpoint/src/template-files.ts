import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { isMissing, isObject, readJsonObject, readText, show } from './json-file.ts'
import type { JsonObject } from './json-file.ts'

export interface TemplateSource {
  readonly source: string
  /** For messages. */
  readonly file: string
}

export interface TemplateFiles {
  /** By name: `default`, and `tool_use` for the one that wants tools. */
  readonly templates: ReadonlyMap<string, TemplateSource>
  /** Text of `bos_token`, `eos_token` and their like. */
  readonly specialTokens: Readonly<Record<string, string>>
}

const specialNames = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']

/** Finds the templates of a model in all places where the transformers library has kept them, the newest first. */
export async function readTemplateFiles(directory: string): Promise<TemplateFiles> {
  const configFile = join(directory, 'tokenizer_config.json')
  const config = (await readJsonObject(configFile)) ?? {}
  const specialTokens = readSpecialTokens(
    (await readJsonObject(join(directory, 'special_tokens_map.json'))) ?? {},
    config,
  )
  const legacyFile = join(directory, 'chat_template.json')
  const legacy = (await readJsonObject(legacyFile)) ?? {}
  const templates = new Map([
    ...listed(config['chat_template'], configFile),
    ...listed(legacy['chat_template'], legacyFile),
    ...(await templatesIn(directory, 'chat_template.jinja', () => 'default')),
    ...(await templatesIn(join(directory, 'additional_chat_templates'), '.jinja', (file) => file.slice(0, -6))),
  ])
  return { templates, specialTokens }
}

/** `chat_template` of a JSON file: one text, or a list of `{name, template}`. */
function listed(value: unknown, file: string): [string, TemplateSource][] {
  if (value === undefined || value === null) return []
  const list = typeof value === 'string' ? [{ name: 'default', template: value }] : value
  if (Array.isArray(list) && list.every(isNamedTemplate)) {
    return list.map(({ name, template }) => [name, { source: template, file: `${file}, chat_template "${name}"` }])
  }
  const message = `${file}: "chat_template" is ${show(value)}; expected a text or a list of {name, template}`
  throw new SlipwayError('checkpoint', message, { file })
}

function isNamedTemplate(value: unknown): value is { name: string; template: string } {
  return isObject(value) && typeof value['name'] === 'string' && typeof value['template'] === 'string'
}

async function templatesIn(
  directory: string,
  ending: string,
  nameOf: (file: string) => string,
): Promise<[string, TemplateSource][]> {
  const files = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  const found: [string, TemplateSource][] = []
  for (const name of files.sort()) {
    if (ending.startsWith('.') ? !name.endsWith(ending) : name !== ending) continue
    const file = join(directory, name)
    const source = await readText(file)
    if (source !== undefined) found.push([nameOf(name), { source, file }])
  }
  return found
}

/** A special token is a text or an object with its `content`; tokenizer_config.json decides. */
function readSpecialTokens(map: JsonObject, config: JsonObject): Record<string, string> {
  const tokens: Record<string, string> = {}
  for (const name of specialNames) {
    const value = config[name] ?? map[name]
    const text = isObject(value) ? value['content'] : value
    if (typeof text === 'string') tokens[name] = text
  }
  return tokens
}
