import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { curlCommand, defaultSettings, parameters, readSettings, type Settings } from './settings.ts'

const of = (some: Partial<Settings>): ReturnType<typeof parameters> =>
  parameters({ ...defaultSettings, model: 'm', ...some })

test('empty fields ask for nothing', () => {
  expect(of({ probabilities: false })).toEqual({ body: { model: 'm' }, faults: {} })
})

test('all fields', () => {
  const tools = [{ type: 'function', function: { name: 'f' } }]
  const { body, faults } = of({
    temperature: ' 0.5 ',
    topP: '0.9',
    topK: '40',
    maxTokens: '100',
    seed: '7',
    stop: 'END\n\\n\\n\n',
    thinking: 'off',
    tools: JSON.stringify(tools),
    schema: '{"type": "object"}',
  })
  expect(faults).toEqual({})
  expect(body).toEqual({
    model: 'm',
    temperature: 0.5,
    top_p: 0.9,
    top_k: 40,
    max_tokens: 100,
    seed: 7,
    stop: ['END', '\n\n'],
    enable_thinking: false,
    logprobs: true,
    top_logprobs: 5,
    tools,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object' } } },
  })
})

test.each([
  [{ temperature: 'warm' }, 'temperature', 'a number'],
  [{ topK: '1.5' }, 'topK', 'a whole number'],
  [{ tools: '{' }, 'tools', 'is not JSON'],
  [{ tools: '{}' }, 'tools', 'a list'],
  [{ tools: '[{"type": "f"}]' }, 'tools', 'tool 1: "type"'],
  [{ tools: '[{"type": "function", "function": {}}]' }, 'tools', 'needs a "name"'],
  [
    { tools: JSON.stringify(['f', 'f'].map((name) => ({ type: 'function', function: { name } }))) },
    'tools',
    'is taken',
  ],
  [{ schema: '[]' }, 'schema', 'a JSON object'],
] as const)('%j is a fault of its field', (some, field, message) => {
  const { faults } = of(some)
  expect(Object.keys(faults)).toEqual([field])
  expect(faults[field]).toContain(message)
})

test('settings of a file are taken over where they are of the right kind', () => {
  expect(readSettings({ seed: '3', topK: 4, thinking: 'maybe', probabilities: false, other: 1 })).toEqual({
    ...defaultSettings,
    seed: '3',
    probabilities: false,
  })
  expect(readSettings(null)).toEqual(defaultSettings)
})

test('a shell reads the curl command as it was meant', () => {
  const body = { content: `it's "so" $HOME \`x\` \\ \n ä` }
  const command = curlCommand('http://h/v1', body, true)
  const { stdout } = spawnSync('sh', [
    '-c',
    `curl() { for word; do printf '%s\\0' "$word"; done; }; API_KEY=k; ${command}`,
  ])
  const words = stdout.toString().split('\0').slice(0, -1)
  expect(words.slice(0, -1)).toEqual([
    '-N',
    'http://h/v1',
    '-H',
    'content-type: application/json',
    '-H',
    'authorization: Bearer k',
    '-d',
  ])
  expect(JSON.parse(words.at(-1)!)).toEqual(body)
})
