import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { afterAll, describe, expect, test } from 'vitest'
import { ChatTemplate } from './chat-template.ts'
import type { RenderOptions } from './chat-template.ts'
import { strftime } from './template-globals.ts'

const root = mkdtempSync(join(tmpdir(), 'slipway-template-'))
afterAll(() => rmSync(root, { recursive: true }))

function makeDirectory(files: Readonly<Record<string, unknown>>): string {
  const directory = mkdtempSync(join(root, 'model-'))
  mkdirSync(join(directory, 'additional_chat_templates'))
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return directory
}

const of = (template: string) =>
  new ChatTemplate({
    templates: new Map([['default', { source: template, file: 'chat_template.jinja' }]]),
    specialTokens: {},
  })

const user = [{ role: 'user', content: 'Hi' }]
const plain: RenderOptions = { addGenerationPrompt: true }

function failure(run: () => unknown): SlipwayError {
  try {
    run()
  } catch (error) {
    if (SlipwayError.is(error)) return error
    throw error
  }
  throw new Error('expected a failure')
}

describe('where templates lie', () => {
  test('a text in tokenizer_config.json, with special tokens as text and as object', async () => {
    const template = await ChatTemplate.load(
      makeDirectory({
        'tokenizer_config.json': {
          chat_template: '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}{{ unk_token }}',
          bos_token: '<s>',
          eos_token: { content: '</s>', lstrip: false },
        },
        'special_tokens_map.json': { bos_token: '<other>', pad_token: '<pad>' },
      }),
    )
    expect(template.isPresent).toBe(true)
    expect(template.render(user, plain)).toBe('<s>Hi</s><pad>')
  })

  test('a list of names', async () => {
    const template = await ChatTemplate.load(
      makeDirectory({
        'tokenizer_config.json': {
          chat_template: [
            { name: 'default', template: 'plain' },
            { name: 'tool_use', template: '{{ tools|length }} tools' },
          ],
        },
      }),
    )
    expect(template.render(user, plain)).toBe('plain')
    expect(template.render(user, { ...plain, tools: [] })).toBe('plain')
    expect(template.render(user, { ...plain, tools: [{}, {}] })).toBe('2 tools')
  })

  test('files win over the config', async () => {
    const directory = makeDirectory({
      'tokenizer_config.json': { chat_template: 'config' },
      'chat_template.json': { chat_template: 'legacy' },
      'additional_chat_templates/tool_use.jinja': 'tools',
      'additional_chat_templates/README.md': 'x',
    })
    expect((await ChatTemplate.load(directory)).render(user, plain)).toBe('legacy')
    writeFileSync(join(directory, 'chat_template.jinja'), 'file')
    const template = await ChatTemplate.load(directory)
    expect(template.render(user, plain)).toBe('file')
    expect(template.render(user, { ...plain, tools: [{}] })).toBe('tools')
  })

  test('a file that the user names instead', async () => {
    const directory = makeDirectory({ 'tokenizer_config.json': { chat_template: 'config', bos_token: '<s>' } })
    const templateFile = join(directory, 'mine.txt')
    writeFileSync(templateFile, '{{ bos_token }}mine')
    const template = await ChatTemplate.load(directory, { templateFile })
    expect(template.render(user, plain)).toBe('<s>mine')
    await expect(ChatTemplate.load(directory, { templateFile: join(directory, 'no') })).rejects.toThrow(
      'there is no such chat template',
    )
  })

  test('none is an error only when somebody chats', async () => {
    const template = await ChatTemplate.load(makeDirectory({}))
    expect(template.isPresent).toBe(false)
    const error = failure(() => template.render(user, plain))
    expect(error.kind).toBe('request')
    expect(error.message).toContain('use /v1/completions, or start the server with --chat-template')
  })

  test('one under another name is taken, several are not', async () => {
    const named = (...names: string[]) =>
      ChatTemplate.load(
        makeDirectory({
          'tokenizer_config.json': { chat_template: names.map((name) => ({ name, template: name })) },
        }),
      )
    expect((await named('rag')).render(user, plain)).toBe('rag')
    const several = await named('rag', 'other')
    expect(failure(() => several.render(user, plain)).message).toContain('named "default", only rag, other')
  })

  test('a chat_template of another kind', async () => {
    const directory = makeDirectory({ 'tokenizer_config.json': { chat_template: [{ name: 'default' }] } })
    await expect(ChatTemplate.load(directory)).rejects.toThrow('expected a text or a list of {name, template}')
  })
})

describe('what a template sees', () => {
  test('messages, tools, the prompt flag and extras', () => {
    const template = of(
      '{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}' +
        '{% if tools is not none %}{{ tools | tojson }}\n{% endif %}' +
        '{% if add_generation_prompt %}[assistant] {% endif %}{{ mood }}{{ documents is none }}',
    )
    expect(template.render(user, { addGenerationPrompt: false })).toBe('[user] Hi\nTrue'.replace('True', 'true'))
    const options = { addGenerationPrompt: true, tools: [{ type: 'function', n: 'é' }], extra: { mood: 'calm' } }
    expect(template.render(user, options)).toBe('[user] Hi\n[{"type": "function", "n": "é"}]\n[assistant] calmtrue')
    const documents = [{ title: 'a' }]
    expect(template.render(user, { ...plain, extra: { documents } })).toContain('false')
  })

  test('range, namespace, constants', () => {
    expect(of('{% for i in range(3) %}{{ i }}{% endfor %}').render(user, plain)).toBe('012')
    expect(of('{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}').render(user, plain)).toBe('531')
    expect(of('{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}').render(user, plain)).toBe('2')
    expect(of('{% if none is none and None is none and True and not False %}y{% endif %}').render(user, plain)).toBe(
      'y',
    )
    expect(failure(() => of('{{ range(1000000) }}').render(user, plain)).message).toContain('over the limit of 100000')
    expect(failure(() => of('{{ range(1, 2, 0) }}').render(user, plain)).message).toContain('must not be zero')
  })

  test.each([
    [`{{ '\\n\\n  a \\n'.lstrip('\\n') }}|`, '  a \n|'],
    [`{{ 'a \\n'.rstrip('\\n') }}|`, 'a |'],
    [`{{ '\\n a \\n'.strip('\\n') }}|`, ' a |'],
    [`{{ 'xyaxy'.strip('yx') }}`, 'a'],
    [`{{ ' a '.strip() }}|{{ ' a '.strip(none) }}|`, 'a|a|'],
    [`{{ {'k': 'aab'.lstrip('a')}.k }}`, 'b'],
    // the way of Qwen 3
    [`{{ messages[0].content.split('</think>')[-1].lstrip('\\n') }}`, 'Hi'],
  ])('%s strips as in Python', (template, text) => {
    expect(of(template).render(user, plain)).toBe(text)
  })

  test('the date', () => {
    const today = new Date()
    expect(of('{{ strftime_now("%Y-%m-%d") }}').render(user, plain)).toBe(strftime(today, '%F'))
    const date = new Date(2024, 6, 5, 15, 4, 9)
    expect(strftime(date, '%d %b %Y|%B %-d|%A %a|%H:%M:%S %I %p|%j|%y|%e|%%|%Q|%T %D')).toBe(
      '05 Jul 2024|July 5|Friday Fri|15:04:09 03 PM|187|24| 5|%|%Q|15:04:09 07/05/24',
    )
  })

  test('rendering twice gives the same', () => {
    const template = of('{% set x = messages[0].content %}{{ x }}')
    expect(template.render(user, plain)).toBe(template.render(user, plain))
  })
})

describe('errors', () => {
  test('a strip of something else', () => {
    expect(failure(() => of("{{ messages.strip('a') }}").render(user, plain)).message).toContain('strip() is for texts')
  })

  test('what the template says about the messages', () => {
    const template = of('{{ raise_exception("Roles must alternate") }}')
    const error = failure(() => template.render(user, plain))
    expect(error.kind).toBe('request')
    expect(error.message).toBe('the chat template refuses the messages: Roles must alternate')
  })

  test('messages that it cannot take', () => {
    const template = of('{{ messages[0].content | upper }}')
    const error = failure(() => template.render([{ role: 'user', content: { a: 1 } }], plain))
    expect(error.kind).toBe('request')
    expect(error.message).toContain('the chat template cannot render the messages')
  })

  test.each([
    'messages',
    'tools',
    'add_generation_prompt',
    'raise_exception',
    'strftime_now',
    'range',
    'namespace',
    'true',
    'bos_token',
  ])('the name %s is reserved', (name) => {
    const source = { source: 'x', file: 'f' }
    const template = new ChatTemplate({
      templates: new Map([['default', source]]),
      specialTokens: { bos_token: '<s>' },
    })
    const error = failure(() => template.render(user, { ...plain, extra: { [name]: 1 } }))
    expect(error.kind).toBe('request')
    expect(error.details).toEqual({ param: `chat_template_kwargs.${name}` })
  })

  test.each([
    ['a\nb\n{% if x %}\nhello', 3],
    ['a\n{{ x | }}\n{{ y }}\n', 2],
    ['{{ a }}\n{% for x %}{% endfor %}', 2],
    ['{{ a }}\n\n\n{% frobnicate %}\n{{ b }}', 4],
    ['{{ "abc }}', 1],
  ])('%j is broken at line %i', (source, line) => {
    const error = failure(() => of(source))
    expect(error.kind).toBe('checkpoint')
    expect(error.message).toContain(`chat_template.jinja: near line ${line}: the chat template is broken`)
    expect(error.details).toEqual({ file: 'chat_template.jinja', line })
  })
})
