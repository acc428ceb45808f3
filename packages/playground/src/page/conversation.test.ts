import { expect, test } from 'vitest'
import { Announcer } from './announcer.ts'
import type { ChatChunk } from './api.ts'
import {
  apiMessages,
  applyChunk,
  exportMessages,
  importMessages,
  newAnswer,
  openCalls,
  type Message,
} from './conversation.ts'

const chunk = (delta: ChatChunk['choices'][number]['delta'], finish_reason: string | null = null): ChatChunk => ({
  choices: [{ delta, finish_reason }],
})

function answerOf(...chunks: ChatChunk[]): ReturnType<typeof newAnswer> {
  const answer = newAnswer()
  for (const one of chunks) applyChunk(answer, one)
  return answer
}

test('chunks make an answer', () => {
  const logprob = { token: 'b', logprob: -1, bytes: [98], top_logprobs: [] }
  const answer = answerOf(
    chunk({ content: '' }),
    chunk({ reasoning_content: 'so' }),
    { choices: [{ delta: { content: 'b' }, logprobs: { content: [logprob] }, finish_reason: null }] },
    chunk({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'f', arguments: '' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }),
    chunk({}, 'tool_calls'),
    { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } },
  )
  expect(answer).toEqual({
    role: 'assistant',
    content: 'b',
    reasoning: 'so',
    toolCalls: [{ id: 'c1', name: 'f', arguments: '{"a":1}' }],
    tokens: [logprob],
    finish: 'tool_calls',
    usage: { prompt_tokens: 3, completion_tokens: 4 },
  })
})

const call = (id: string) =>
  chunk({ tool_calls: [{ index: 0, id, function: { name: 'f', arguments: '{}' } }] }, 'tool_calls')
const user: Message = { role: 'user', content: 'q' }

test('messages of the API, reasoning left out', () => {
  const messages: Message[] = [
    user,
    answerOf(call('c1')),
    { role: 'tool', toolCallId: 'c1', content: '4' },
    answerOf(chunk({ reasoning_content: 'r', content: 'a' })),
  ]
  expect(apiMessages('be brief', messages)).toEqual([
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'q' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'c1', content: '4' },
    { role: 'assistant', content: 'a' },
  ])
  expect(apiMessages('  ', [user, newAnswer()])).toEqual([user])
})

test('calls are open until they have a result', () => {
  expect(openCalls([user])).toEqual([])
  const messages: Message[] = [user, answerOf(call('c1'))]
  expect(openCalls(messages).map(({ id }) => id)).toEqual(['c1'])
  expect(openCalls([...messages, { role: 'tool', toolCallId: 'c1', content: '' }])).toEqual([])
  expect(openCalls([user, answerOf(call('c1'), chunk({}, null))])).toHaveLength(1)
})

test('a conversation goes into a file and back; one of the API comes in as well', () => {
  const answer = answerOf(chunk({ reasoning_content: 'r', content: 'a' }), call('c1'))
  const messages: Message[] = [user, answer, { role: 'tool', toolCallId: 'c1', content: '4' }]
  const file = JSON.parse(JSON.stringify(exportMessages(messages))) as unknown
  expect(importMessages(file)).toEqual(messages)
  const api = apiMessages('', importMessages(file))
  expect(apiMessages('', importMessages(api))).toEqual(api)
})

test.each([
  [{}, '"messages" must be a list'],
  [[{ role: 'user' }], 'messages[0].content must be text'],
  [[{ role: 'system', content: '' }], 'messages[0].role must be'],
  [[{ role: 'tool', content: '' }], 'messages[0].toolCallId'],
  [[null], 'messages[0].role'],
  [[{ role: 'assistant', toolCalls: 1 }], 'messages[0].toolCalls must be a list'],
  [[{ role: 'assistant', toolCalls: [{ id: 'a' }] }], 'messages[0].toolCalls[0].name'],
])('%j is no conversation', (value, message) => {
  expect(() => importMessages(value)).toThrow(message)
})

test('a growing text is told by sentences', () => {
  const announcer = new Announcer()
  expect(announcer.push('One', false)).toBe('')
  expect(announcer.push('One. Two', false)).toBe('One.')
  expect(announcer.push('One. Two 3.5 is', false)).toBe('')
  expect(announcer.push('One. Two 3.5 is.\nThree', false)).toBe('Two 3.5 is.')
  expect(announcer.push('One. Two 3.5 is.\nThree', true)).toBe('Three')
  expect(announcer.push('One. Two 3.5 is.\nThree', true)).toBe('')
})
