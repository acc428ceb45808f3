import { miniModelDirectory } from '@slipway/mini'
import { afterAll, describe, expect, test } from 'vitest'
import { GrammarChecker } from './checker.ts'
import { Matchers, type RemoteMatcher } from './matchers.ts'
import { toGrammarText, toSource, type GrammarSpec } from './spec.ts'

const setup = {
  directory: miniModelDirectory,
  vocabSize: 4096,
  stopIds: [4030, 4032],
  memoryBytes: 128 * 1024 ** 2,
  maxGrammars: 8,
}

describe('structural tags', () => {
  const textOf = (structuralTag: GrammarSpec['structuralTag']): string =>
    toGrammarText(toSource({ structuralTag })).text

  test('schemas and expressions within become our grammars, in both notations', () => {
    const schema = { type: 'integer' }
    const old = JSON.parse(textOf({ structures: [{ begin: '<f>', schema, end: '</f>' }], triggers: ['<f'] })) as object
    expect(old).toMatchObject({
      format: { type: 'triggered_tags', triggers: ['<f'], tags: [{ begin: '<f>', content: { type: 'grammar' } }] },
    })
    const elements = [
      { type: 'regex', pattern: 'a+' },
      { type: 'const_string', value: 'x' },
      { type: 'grammar', grammar: 'root ::= "y"' },
    ]
    const text = textOf({ format: { type: 'sequence', elements } })
    expect(JSON.parse(text)).toMatchObject({
      format: { type: 'sequence', elements: [{ type: 'grammar' }, { value: 'x' }, {}] },
    })
    const tag = { begin: 'a', content: { type: 'any_text' }, end: 'b' }
    expect(textOf({ format: { type: 'tags_with_separator', tags: [tag], separator: ',' } })).toContain(
      '"separator":","',
    )
  })

  test.each<[Record<string, unknown>, string]>([
    [{ format: { type: 'qwen_xml_parameter' } }, 'is not supported'],
    [{ structures: 1 }, 'structures'],
    [{ structures: [{ begin: 'x', schema: {}, end: 'y' }], triggers: ['z'] }, 'begins with none of the triggers'],
    [{ format: { type: 'or', elements: [] } }, 'must be a list with a member'],
    [{ format: { type: 'const_string' } }, 'must be a text'],
    [{ format: { type: 'triggered_tags', triggers: [''], tags: [] } }, 'triggers: must be a list'],
    [{ format: 3 }, 'must be an object'],
    [{ format: { type: 'json_schema', json_schema: { not: {} } } }, 'keyword "not"'],
  ])('refuses %j', (tag, message) => {
    expect(() => textOf(tag)).toThrow(message)
  })
})

describe('in threads', () => {
  const matchers = new Matchers(setup, { limitMs: 1500 })
  afterAll(() => matchers.end())

  const settled = async (matcher: RemoteMatcher): Promise<void> => {
    while (!matcher.next && !matcher.error) await matchers.changed(50)
  }
  const open = async (spec: GrammarSpec, after?: { text: string }): Promise<RemoteMatcher> => {
    const matcher = matchers.open({ source: toSource(spec), stopIds: [], after })
    await settled(matcher)
    return matcher
  }
  const follow = async (matcher: RemoteMatcher, ids: readonly number[]): Promise<void> => {
    for (const id of ids) {
      matchers.accept(matcher, id)
      await settled(matcher)
    }
  }

  test('a matcher follows its text to the end, and others survive the loss of the thread', async () => {
    const good = await open({ regex: '!!!' })
    expect(good.next?.state).toBe('masked')
    // token 0 is "!"
    await follow(good, [0, 0])
    const bad = await open({ grammar: 'root ::= nowhere' })
    expect(bad.error?.message).toContain('nowhere')
    await settled(good)
    expect(good.tokens).toEqual([0, 0])
    await follow(good, [0])
    expect(good.next).toEqual({ state: 'complete' })
    const wrong = await open({ regex: '!' })
    await follow(wrong, [1])
    expect(wrong.error?.kind).toBe('internal')
    for (const matcher of [good, bad, wrong]) matchers.close(matcher)
    expect(matchers.numOpen).toBe(0)
  })

  test('a text that takes too long ends, and the others are followed anew', async () => {
    const good = await open({ regex: '!!!' })
    await follow(good, [0, 0])
    const rules = Array.from(
      { length: 400 },
      (_, i) => `r${i} ::= ([a-z] | [A-Z] " ")* "${i}" [a-z0-9]{0,60} r${(i * 7 + 1) % 400}`,
    )
    const slow = await open({ grammar: `root ::= ${rules.map((_, i) => `r${i}`).join(' | ')}\n${rules.join('\n')}` })
    expect(slow.error?.message).toMatch(/more than 1.5 s|too large/)
    await settled(good)
    await follow(good, [0])
    expect(good.next).toEqual({ state: 'complete' })
    for (const matcher of [good, slow]) matchers.close(matcher)
  })

  test('free until the trigger; what a token brings beyond it counts', async () => {
    const matcher = await open({ regex: '"a' }, { text: '!!' })
    await follow(matcher, [5, 0])
    expect(matcher.next).toEqual({ state: 'free' })
    await follow(matcher, [0])
    expect(matcher.next?.state).toBe('masked')
    matchers.close(matcher)
  })

  test('a model without a tokenizer file is told', async () => {
    const lost = new Matchers({ ...setup, directory: '/nonexistent' })
    const matcher = lost.open({ source: toSource({ regex: 'a' }), stopIds: [], after: undefined })
    while (!matcher.error) await lost.changed(50)
    expect(matcher.error.kind).toBe('checkpoint')
    await lost.end()
    const checker = new GrammarChecker({ ...setup, directory: '/nonexistent' })
    await expect(checker.check(toSource({ regex: 'a' }))).rejects.toThrow('tokenizer.json')
    await checker.close()
  })

  test('checks pass, fail and are remembered; too many at once are turned away; closing ends them', async () => {
    const checker = new GrammarChecker(setup)
    await checker.check(toSource({ regex: 'a' }))
    const started = performance.now()
    await checker.check(toSource({ regex: 'a' }))
    expect(performance.now() - started).toBeLessThan(5)
    const results = await Promise.allSettled(
      Array.from({ length: 70 }, (_, i) => checker.check(toSource({ regex: `a{${i + 1}}` }))),
    )
    expect(results.filter(({ status }) => status === 'rejected').length).toBe(6)
    const ended = checker.check(toSource({ regex: 'b' }))
    const closed = checker.close()
    await expect(ended).rejects.toThrow('closed')
    await closed
  })
})
