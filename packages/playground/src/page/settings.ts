/** What the form holds: texts, as somebody has typed them. */
export interface Settings {
  readonly model: string
  readonly system: string
  readonly temperature: string
  readonly topP: string
  readonly topK: string
  readonly maxTokens: string
  readonly seed: string
  /** One in each line. */
  readonly stop: string
  readonly thinking: 'auto' | 'on' | 'off'
  readonly probabilities: boolean
  /** JSON: a list of tools in OpenAI's form. */
  readonly tools: string
  /** JSON: the schema that answers have to fit. */
  readonly schema: string
}

export const defaultSettings: Settings = {
  model: '',
  system: '',
  temperature: '',
  topP: '',
  topK: '',
  maxTokens: '',
  seed: '',
  stop: '',
  thinking: 'auto',
  probabilities: true,
  tools: '',
  schema: '',
}

/** Faults of the form by field. */
export type Faults = Partial<Record<keyof Settings, string>>

const numbers = [
  { field: 'temperature', name: 'temperature', whole: false },
  { field: 'topP', name: 'top_p', whole: false },
  { field: 'topK', name: 'top_k', whole: true },
  { field: 'maxTokens', name: 'max_tokens', whole: true },
  { field: 'seed', name: 'seed', whole: true },
] as const

/** The parameters of a request, and what of the form cannot be read. Bounds are the server's to know. */
export function parameters(settings: Settings): { readonly body: Record<string, unknown>; readonly faults: Faults } {
  const body: Record<string, unknown> = { model: settings.model }
  const faults: Faults = {}
  for (const { field, name, whole } of numbers) {
    const text = settings[field].trim()
    if (text === '') continue
    const value = Number(text)
    if (!Number.isFinite(value)) faults[field] = 'must be a number'
    else if (whole && !Number.isSafeInteger(value)) faults[field] = 'must be a whole number'
    else body[name] = value
  }
  const stop = settings.stop.split('\n').filter((line) => line !== '')
  if (stop.length > 0) body['stop'] = stop.map(unescape)
  if (settings.thinking !== 'auto') body['enable_thinking'] = settings.thinking === 'on'
  if (settings.probabilities) Object.assign(body, { logprobs: true, top_logprobs: 5 })
  readJson(settings.tools, 'tools', faults, (tools) => {
    faultOfTools(tools, faults)
    body['tools'] = tools
  })
  readJson(settings.schema, 'schema', faults, (schema) => {
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) faults.schema = 'must be a JSON object'
    body['response_format'] = { type: 'json_schema', json_schema: { name: 'answer', schema } }
  })
  return { body, faults }
}

/** `\n` and `\t` typed as two characters, since a line is one stop string. */
function unescape(text: string): string {
  return text.replace(/\\([nt\\])/g, (_, letter: string) => ({ n: '\n', t: '\t' })[letter] ?? '\\')
}

function readJson(text: string, field: keyof Settings, faults: Faults, use: (value: unknown) => void): void {
  if (text.trim() === '') return
  try {
    use(JSON.parse(text))
  } catch (error) {
    faults[field] = `is not JSON: ${(error as Error).message}`
  }
}

function faultOfTools(tools: unknown, faults: Faults): void {
  if (!Array.isArray(tools)) {
    faults.tools = 'must be a list of tools: [{"type": "function", "function": {…}}]'
    return
  }
  const names = new Set<unknown>()
  for (const [i, tool] of tools.entries()) {
    const { type, function: described } = (tool ?? {}) as { type?: unknown; function?: { name?: unknown } }
    if (type !== 'function') faults.tools = `tool ${i + 1}: "type" must be "function"`
    else if (typeof described?.name !== 'string') faults.tools = `tool ${i + 1}: "function" needs a "name"`
    else if (names.has(described.name)) faults.tools = `tool ${i + 1}: the name "${described.name}" is taken`
    names.add(described?.name)
  }
}

/** Takes over the fields of an unknown value that are of the right kind. */
export function readSettings(value: unknown): Settings {
  const given = (value ?? {}) as Record<string, unknown>
  const known = Object.entries(defaultSettings).map(([name, fallback]) => {
    const own = given[name]
    const fits =
      typeof own === typeof fallback && (name !== 'thinking' || ['auto', 'on', 'off'].includes(own as string))
    return [name, fits ? own : fallback]
  })
  return Object.fromEntries(known) as unknown as Settings
}

/** The same request for a shell. The key is named, not shown. */
export function curlCommand(url: string, body: unknown, hasKey: boolean): string {
  const quoted = JSON.stringify(body).replaceAll("'", String.raw`'\''`)
  const key = hasKey ? ` -H "authorization: Bearer $API_KEY"` : ''
  return `curl -N ${url} -H 'content-type: application/json'${key} -d '${quoted}'`
}
