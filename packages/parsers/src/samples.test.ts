import { expect, test } from 'vitest'
import { OutputCollector, type ParsedOutput } from './deltas.ts'
import { scanPrefix } from './json-scanner.ts'
import { OutputParser, parseOutput } from './output-parser.ts'
import { meaningOf, parserOptions, samples, type Sample } from './testing/samples.ts'
import { markup, newRandom, wordsOf } from './testing/random.ts'

test.each(samples)('$name', (sample) => {
  const { options, text, reasoning = '', content = '', calls = [] } = sample
  const output = parseOutput(text, parserOptions(options))
  expect(meaningOf(output)).toEqual({ reasoning, content, calls })
  expect(output.toolCalls.map(({ id }) => id)).toEqual(calls.map((_, i) => `id${i}`))
})

/** Parses a text in pieces; every prefix of the arguments must be the beginning of JSON. */
function parsePieces({ options }: Sample, pieces: Iterable<string>): ParsedOutput {
  const parser = new OutputParser(parserOptions(options))
  const collector = new OutputCollector()
  const check = (delta: ReturnType<OutputParser['push']>): void => {
    collector.add(delta)
    for (const { index } of delta.toolCalls ?? []) {
      const text = collector.output.toolCalls[index]!.arguments
      const { json, step } = scanPrefix(text)
      if (step === 'bad' || json !== text) throw new Error(`no JSON begins with ${text}`)
    }
    if ((Object.values(delta) as (string | readonly unknown[])[]).some((value) => value.length === 0))
      throw new Error('a field of a delta is empty')
  }
  for (const piece of pieces) check(parser.push(piece))
  check(parser.finish())
  return collector.output
}

const numSplits = 600

test.each(samples)(`$name: ${numSplits} splits give the whole`, (sample) => {
  const random = newRandom(sample.text.length)
  const whole = parseOutput(sample.text, parserOptions(sample.options))
  expect(parsePieces(sample, sample.text)).toEqual(whole)
  const { text } = sample
  const splits = Array.from({ length: numSplits }, () => random.split(text))
  // and every cut into two
  for (let at = 0; at <= text.length; at++) splits.push([text.slice(0, at), text.slice(at)])
  for (const pieces of splits) {
    const streamed = parsePieces(sample, pieces)
    // toEqual is slow
    if (JSON.stringify(streamed) !== JSON.stringify(whole)) expect(streamed).toEqual(whole)
  }
})

test.each(samples)('$name: malformed output is neither lost nor thrown upon', (sample) => {
  const random = newRandom(sample.text.length)
  const marks = markup(sample.text)
  for (let i = 0; i < 1000; i++) {
    const text = random.mutate(sample.text, marks)
    const whole = parsePieces(sample, [text])
    const streamed = parsePieces(sample, random.split(text))
    if (JSON.stringify(streamed) !== JSON.stringify(whole)) expect(streamed, text).toEqual(whole)
    const { reasoning, content, toolCalls } = whole
    const given = [
      reasoning,
      content,
      ...toolCalls.flatMap((call) => [call.name, call.arguments, unescaped(call.arguments)]),
    ].join(' ')
    const lost = wordsOf(text).filter((word) => !isIn(word, given))
    expect(lost, text).toEqual([])
  }
})

/** A fault in the middle of a word leaves its parts at different places. */
function isIn(word: string, given: string): boolean {
  if (given.includes(word)) return true
  const cuts = Array.from(word, (_, at) => [word.slice(0, at), word.slice(at)] as const)
  return cuts.some((parts) => parts.every((part) => given.includes(part)))
}

/** Escapes of control characters, which a model may have written bare. */
function unescaped(json: string): string {
  return json.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
}
