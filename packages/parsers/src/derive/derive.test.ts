import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ChatTemplate } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { describe, expect, test } from 'vitest'
import { endsInThinking } from '../reasoning/reasoning-format.ts'
import { parseOutput } from '../output-parser.ts'
import { deriveReasoning } from './derive-reasoning.ts'
import { deriveTools } from './derive-tools.ts'

function templateOf(source: string): ChatTemplate {
  return new ChatTemplate({
    templates: new Map([['default', { source, file: 'chat_template.jinja' }]]),
    specialTokens: { eos_token: '</s>' },
  })
}

const head = '{% for t in tools or [] %}[tool]{{ t | tojson }}{% endfor %}'
const answerHead = '<|assistant|>\n'
/** A template that shows calls in a given way; in `call`, `c` is the call's function. */
const chat = (call: string, { before = '', after = '', between = '' } = {}): string =>
  `${head}{% for m in messages %}{% if m.role == 'assistant' %}${answerHead}{{ m.content }}{% if m.tool_calls %}${before}{% for tc in m.tool_calls %}{% set c = tc.function %}{% if not loop.first %}${between}{% endif %}${call}{% endfor %}${after}{% endif %}<|end|>\n{% else %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}${answerHead}{% endif %}`
const jsonCall = `{"name": "{{ c.name }}", "arguments": {{ c.arguments | tojson }}}`
const otherCall = `{"type": "call", "do": {"tool": {{ c.name | tojson }}, "input": {{ c.arguments | tojson }}}}`
const coderCall = `<tool_call>\n<function={{ c.name }}>\n{% for k, v in c.arguments.items() %}<parameter={{ k }}>\n{{ v }}\n</parameter>\n{% endfor %}</function>\n</tool_call>`
const glmCall = `<tool_call>{{ c.name }}\n{% for k, v in c.arguments.items() %}<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v }}</arg_value>\n{% endfor %}</tool_call>`
const v3 = `<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.name }}\n\`\`\`json\n{{ c.arguments | tojson }}\n\`\`\`<｜tool▁call▁end｜>`
const v31 = `<｜tool▁call▁begin｜>{{ c.name }}<｜tool▁sep｜>{{ c.arguments | tojson }}<｜tool▁call▁end｜>`

/** The calls of a rendering, by the parser that the template itself gave. */
function roundTrip(template: ChatTemplate, content: string) {
  const { format } = deriveTools(template)!
  const calls = [
    ['one', { city: 'Ulm "<x>"', n: 'x' }],
    ['two', { k: '東京' }],
  ] as const
  const toolCalls = calls.map(([name, args], i) => ({
    id: `abcdefgh${i}`,
    type: 'function',
    function: { name, arguments: args },
  }))
  const user = { role: 'user', content: 'Hi' }
  const text = template.render([user, { role: 'assistant', content, tool_calls: toolCalls }], {
    addGenerationPrompt: false,
  })
  const answer = text.slice(template.render([user], { addGenerationPrompt: true }).length, text.lastIndexOf('<|end|>'))
  const toolSchemas = calls.map(([name]) => ({ function: { name } }))
  const output = parseOutput(answer, { tools: format, toolSchemas })
  expect(output.content).toBe(content)
  expect(output.toolCalls.map(({ name, arguments: args }) => [name, JSON.parse(args)])).toEqual(calls)
}

describe('tool calls', () => {
  test.each([
    ['JSON in tags', chat(`\n<tool_call>\n${jsonCall}\n</tool_call>`), 'JSON between <tool_call> and </tool_call>'],
    ['other tags and keys', chat(`<|act|>${otherCall}<|/act|>`), 'JSON between <|act|> and <|/act|>'],
    ['an opening tag only', chat(`<|call|>${jsonCall}`), 'JSON between <|call|> and the end'],
    [
      'a list in tags',
      chat(jsonCall, { before: '<calls>[', between: ', ', after: ']</calls>' }),
      'JSON between <calls> and </calls>',
    ],
    ['a list of Mistral', chat(jsonCall, { before: '[TOOL_CALLS] [', between: ', ', after: ']' }), 'mistral'],
    ['names of Mistral', chat('[TOOL_CALLS]{{ c.name }}{{ c.arguments | tojson }}'), 'mistral'],
    ['Qwen 3 Coder', chat(coderCall, { between: '\n' }), 'qwen3-coder'],
    ['GLM', chat(`\n${glmCall}`), 'glm-4.5'],
    [
      'DeepSeek V3',
      chat(v3, { before: '<｜tool▁calls▁begin｜>', between: '\n', after: '<｜tool▁calls▁end｜>' }),
      'deepseek-v3',
    ],
    ['DeepSeek V3.1', chat(v31, { before: '<｜tool▁calls▁begin｜>', after: '<｜tool▁calls▁end｜>' }), 'deepseek-v3.1'],
  ])('%s', (_, source, name) => {
    const template = templateOf(source)
    expect(deriveTools(template)?.name).toBe(name)
    roundTrip(template, 'Wait.')
    roundTrip(template, '')
  })

  test('JSON without tags, one call only, no content beside it', () => {
    const one = `{% if m.content or m.tool_calls | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}${jsonCall}`
    const template = templateOf(chat(one).replace('{{ m.content }}{% if', '{% if'))
    const derived = deriveTools(template)
    expect(derived?.name).toBe('JSON without tags')
    const text = '{"name": "now", "arguments": {}}'
    expect(parseOutput(text, { tools: derived!.format, toolSchemas: [{ function: { name: 'now' } }] })).toMatchObject({
      content: '',
      toolCalls: [{ name: 'now', arguments: '{}' }],
    })
  })

  test('a tag that begins as the prompt ends', () => {
    const source = chat(`<|act|>${jsonCall}<|/act|>`).replace(/{% endif %}$/, '<|a|>{% endif %}')
    const template = templateOf(source.replace('{{ m.content }}{% if', '{% if'))
    expect(deriveTools(template)?.name).toBe('JSON between <|act|> and <|/act|>')
  })

  test('templates without calls', () => {
    expect(deriveTools(templateOf('{{ messages[0].content }}'))).toBeUndefined()
    expect(deriveTools(templateOf(chat('{{ c.name }} of {{ c.arguments | tojson }}')))).toBeUndefined()
    expect(deriveTools(templateOf(chat("{{ raise_exception('no tools') }}")))).toBeUndefined()
  })
})

describe('reasoning', () => {
  const shown = `{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content %}<plan>\n{{ m.reasoning_content }}\n</plan>\n\n{% endif %}{{ m.content }}<|end|>{% endfor %}`
  const answered = shown.replace('{{ m.content }}', '<response>\n{{ m.content }}\n</response>\n')
  const switched = `{{ messages[0].content }}{% if add_generation_prompt %}[assistant]{% if enable_thinking is defined and not enable_thinking %}<reflect>\n\n</reflect>\n\n{% endif %}{% endif %}`
  const forced = `{{ messages[0].content }}{% if add_generation_prompt %}[assistant]<think>\n{% endif %}`
  const cut = `{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}`

  test.each([
    ['shown', shown, { start: '<plan>', end: '</plan>' }],
    [
      'shown, with tags around the answer',
      answered,
      { start: '<plan>', end: '</plan>', answer: { start: '<response>', end: '</response>' } },
    ],
    ['switched off in the prompt', switched, { start: '<reflect>', end: '</reflect>' }],
    ['begun in the prompt', forced, { start: '<think>', end: '</think>' }],
    ['cut out of past answers', cut, { start: '<think>', end: '</think>' }],
    ['none', '{% for m in messages %}{{ m.content }}{% endfor %}', undefined],
  ])('%s', (_, source, format) => {
    expect(deriveReasoning(templateOf(source))).toEqual(format)
  })

  test('the end of a prompt', () => {
    const format = { start: '<a>', end: '</a>', answer: { start: '<r>', end: '</r>' } }
    expect(endsInThinking(format, 'x <a>\n')).toBe(true)
    expect(endsInThinking(format, '<a>\n\n</a>\n\n')).toBe(false)
    expect(endsInThinking(format, '</a> <r>')).toBe(false)
    expect(endsInThinking(format, '<a> said the user [assistant]')).toBeUndefined()
  })
})

test('the embedded model', async () => {
  const template = await ChatTemplate.load(miniModelDirectory)
  expect(readFileSync(join(miniModelDirectory, 'README.md'), 'utf8')).toContain('Hermes tool calls')
  expect(deriveTools(template)?.name).toBe('JSON between <tool_call> and </tool_call>')
  expect(deriveReasoning(template)).toEqual({ start: '<think>', end: '</think>' })
})
