import { describe, expect, test } from 'vitest'
import { messageSchema, toTemplateMessage } from './messages.ts'

function convert(message: unknown) {
  return toTemplateMessage(messageSchema.parse(message))
}

describe('toTemplateMessage', () => {
  test('text parts become one text', () => {
    const content = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ]
    expect(convert({ role: 'user', content, name: 'Ann' })).toEqual({ role: 'user', content: 'one\ntwo', name: 'Ann' })
  })

  test('developer is the newer name of system', () => {
    expect(convert({ role: 'developer', content: 'Be brief.' })).toEqual({ role: 'system', content: 'Be brief.' })
  })

  test('an answer of ours can be sent back as it came', () => {
    const answer = {
      role: 'assistant',
      content: 'Hi',
      refusal: null,
      annotations: [],
      audio: null,
      function_call: null,
    }
    expect(convert(answer)).toMatchObject({ role: 'assistant', content: 'Hi' })
  })

  test('arguments of tool calls become objects, broken ones stay text', () => {
    const call = (text: string) => ({ id: 'c1', type: 'function', function: { name: 'add', arguments: text } })
    expect(convert({ role: 'assistant', content: null, tool_calls: ['{"a": 1}', '{"a"', '', '5'].map(call) })).toEqual({
      role: 'assistant',
      content: '',
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'add', arguments: { a: 1 } } },
        { id: 'c1', type: 'function', function: { name: 'add', arguments: '{"a"' } },
        { id: 'c1', type: 'function', function: { name: 'add', arguments: {} } },
        { id: 'c1', type: 'function', function: { name: 'add', arguments: '5' } },
      ],
    })
    expect(convert({ role: 'tool', content: '3', tool_call_id: 'c1' })).toEqual({
      role: 'tool',
      content: '3',
      tool_call_id: 'c1',
    })
  })

  test('a refusal stands for the content', () => {
    expect(convert({ role: 'assistant', refusal: 'No.' })).toMatchObject({ content: 'No.' })
    expect(convert({ role: 'assistant', content: '', reasoning_content: 'Hm.' })).toMatchObject({
      content: '',
      reasoning_content: 'Hm.',
    })
  })
})
