import { ChatTemplate } from '@slipway/checkpoint'
import { describe, expect, test } from 'vitest'
import { decideThinking, findSwitches } from './thinking-switches.ts'

const templateOf = (source: string): ChatTemplate =>
  new ChatTemplate({
    templates: new Map([['default', { source, file: 'chat_template.jinja' }]]),
    specialTokens: {},
  })
const think = { start: '<think>', end: '</think>' }

describe('what a template knows', () => {
  test.each<[string, string, readonly string[], boolean]>([
    ['nothing', 'Hi', [], false],
    [
      'Qwen 3',
      '{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}',
      ['enable_thinking'],
      false,
    ],
    ['DeepSeek V3.1', '{% if thinking %}<think>{% else %}</think>{% endif %}', ['thinking'], false],
    ['gpt-oss', 'Reasoning: {{ reasoning_effort }}', [], true],
    ['one that refuses', "{{ raise_exception('no') }}", [], false],
  ])('%s', (_, source, onOff, hasEffort) => {
    expect(findSwitches(templateOf(source))).toEqual({ onOff, hasEffort })
  })
})

describe('what it is told', () => {
  const none = { onOff: [], hasEffort: false }
  const deepseek = { onOff: ['thinking'], hasEffort: false }
  const both = { onOff: ['enable_thinking'], hasEffort: true }

  test('its own switch; without one the thinking ends at once', () => {
    expect(decideThinking({ enableThinking: true }, deepseek, think)).toEqual({ variables: { thinking: true } })
    expect(decideThinking({ reasoningEffort: 'none' }, deepseek, think)).toEqual({ variables: { thinking: false } })
    expect(decideThinking({ enableThinking: false }, none, think)).toEqual({
      variables: { enable_thinking: false },
      maxTokens: 0,
    })
    expect(decideThinking({ enableThinking: false }, none, undefined).maxTokens).toBeUndefined()
  })

  test('an effort, or a budget in its place', () => {
    expect(decideThinking({ reasoningEffort: 'low' }, both, think)).toEqual({ variables: { reasoning_effort: 'low' } })
    expect(decideThinking({ reasoningEffort: 'low' }, none, think)).toEqual({ variables: {}, maxTokens: 1024 })
    expect(decideThinking({ reasoningEffort: 'high' }, none, think).maxTokens).toBeUndefined()
    // what is said in tokens wins
    expect(decideThinking({ reasoningEffort: 'low', thinkingTokenBudget: 7 }, none, think).maxTokens).toBe(7)
    expect(decideThinking({}, both, think)).toEqual({ variables: {} })
  })
})
