import { describe, expect, test } from 'vitest'
import { ThinkingTracker, type Thinking } from './thinking.ts'

const [start, a, b, c] = [1, 2, 3, 4]

/** What comes of a model that would say `wanted`. */
function say(thinking: Thinking, wanted: readonly number[]): number[] {
  const tracker = new ThinkingTracker(thinking)
  return wanted.map((token) => {
    const chosen = tracker.forced ?? token
    tracker.follow(chosen)
    return chosen
  })
}

describe('an end tag of one token', () => {
  const tags = { startIds: [start], endIds: [9] }

  test('comes after as many tokens as there may be', () => {
    for (let maxTokens = 0; maxTokens < 5; maxTokens++) {
      const said = say({ ...tags, maxTokens }, [start, a, b, a, b, a, b])
      expect(said.indexOf(9)).toBe(maxTokens + 1)
      expect(said.lastIndexOf(9)).toBe(maxTokens + 1)
    }
  })

  test('is the model’s own where it comes in time', () => {
    expect(say({ ...tags, maxTokens: 2 }, [start, a, b, 9, a, b, a])).toEqual([start, a, b, 9, a, b, a])
    expect(say(tags, [start, a, b, a, b])).toEqual([start, a, b, a, b])
  })

  test('is not forced where nothing is thought', () => {
    expect(say({ ...tags, maxTokens: 1 }, [a, b, c, start, a, b])).toEqual([a, b, c, start, a, b])
    expect(say({ ...tags, maxTokens: 1, isOpen: false }, [start, a, b, c])).toEqual([start, a, b, c])
  })

  test('in a prompt that opens the thinking, whether or not the model repeats the start tag', () => {
    expect(say({ ...tags, maxTokens: 2, isOpen: true }, [a, b, c, c])).toEqual([a, b, 9, c])
    expect(say({ ...tags, maxTokens: 2, isOpen: true }, [start, a, b, c, c])).toEqual([start, a, b, 9, c])
    expect(say({ ...tags, maxTokens: 0, isOpen: true }, [a, b])).toEqual([9, b])
  })

  test('can be asked for', () => {
    const tracker = new ThinkingTracker({ ...tags, isOpen: true })
    expect([tracker.isInside, tracker.forced]).toEqual([true, undefined])
    tracker.end()
    expect(tracker.forced).toBe(9)
    tracker.follow(9)
    expect([tracker.isInside, tracker.forced]).toEqual([false, undefined])
  })
})

describe('tags of several tokens', () => {
  const tags = { startIds: [start, start], endIds: [7, 7, 8] }

  test('come token by token, and a tag that has begun is ended', () => {
    const open = [start, start]
    expect(say({ ...tags, maxTokens: 2 }, [...open, a, b, c, c, c, c])).toEqual([...open, a, b, 7, 7, 8, c])
    expect(say({ ...tags, maxTokens: 1 }, [...open, a, 7, c, c, c])).toEqual([...open, a, 7, 7, 8, c])
    expect(say({ ...tags, maxTokens: 3 }, [...open, a, 7, 7, 7, 8, c])).toEqual([...open, a, 7, 7, 7, 8, c])
    expect(say({ ...tags, maxTokens: 1 }, [start, a, b, c])).toEqual([start, a, b, c])
  })
})
