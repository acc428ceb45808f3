import { expect, test } from 'vitest'
import { StopStrings } from './stop-strings.ts'

/** What comes out when `text` arrives in pieces cut at `cuts`. */
function feed(text: string, cuts: readonly number[], stops: readonly string[], includes = false) {
  const matcher = new StopStrings(stops, includes)
  let out = ''
  const edges = [0, ...cuts, text.length]
  for (let i = 1; i < edges.length; i++) {
    const found = matcher.push(text.slice(edges[i - 1], edges[i]))
    out += found.text
    if (found.stop !== undefined) return { out, stop: found.stop }
  }
  return { out: out + matcher.flush(), stop: undefined }
}

test('cuts at the first stop string, or after it when asked', () => {
  expect(feed('one END two', [], ['END'])).toEqual({ out: 'one ', stop: 'END' })
  expect(feed('one END two', [], ['END'], true)).toEqual({ out: 'one END', stop: 'END' })
  expect(feed('nothing here', [], ['END'])).toEqual({ out: 'nothing here', stop: undefined })
})

test('of two matches the earlier wins, of equals the longer', () => {
  expect(feed('xabcd', [], ['cd', 'ab'])).toEqual({ out: 'x', stop: 'ab' })
  expect(feed('xabcd', [], ['ab', 'abc'])).toEqual({ out: 'x', stop: 'abc' })
})

test('a stop string is found across every pair of cuts, and nothing of it leaks', () => {
  const text = 'aab aaab aabaac!'
  for (let i = 0; i <= text.length; i++)
    for (let j = i; j <= text.length; j++)
      expect(feed(text, [i, j], ['aabaac'])).toEqual({ out: 'aab aaab ', stop: 'aabaac' })
})

test('only a possible beginning is held back', () => {
  const matcher = new StopStrings(['\n\nUser'], false)
  expect(matcher.push('Hello\n').text).toBe('Hello')
  expect(matcher.push('World\n\n').text).toBe('\nWorld')
  expect(matcher.push('U').text).toBe('')
  expect(matcher.push('nder').text).toBe('\n\nUnder')
  expect(matcher.flush()).toBe('')
})
