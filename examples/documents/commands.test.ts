import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { benchFlags, knownFlags, npmScripts, parseSlipway } from './cli.ts'
import { notRun } from './not-run.ts'
import { anchorsOf, blocks, inlineCode, links, pages, root } from './pages.ts'
import { plan } from './plan.ts'
import { commandsOf } from './shell.ts'

// Whatever the documents tell to type is known to the program that would read it, whether it is run or not.

/** Flags in prose that are of other programs. */
const foreignFlags = new Set(['--import', '--install', '--version', '--cacert'])

/** Files of the reader. */
const ownFiles = new Set(['./tracing.mjs'])

const shell = blocks.filter(({ language }) => language === 'sh')

test('every block has a language that the tests know what to do with', () => {
  const known = ['ts', 'js', 'sh', 'json', 'yaml', 'nginx', 'text']
  expect(
    blocks
      .filter(({ language }) => !known.includes(language))
      .map(({ name }) => name)
      .join('\n'),
  ).toBe('')
})

test('every block of commands is run as a whole, or is named in not-run.ts', () => {
  const unchecked = shell.flatMap((block) => plan(block).unknown.map((text) => `${block.name}: ${text}`))
  expect(unchecked.join('\n')).toBe('')
})

test('not-run.ts names nothing that is gone', () => {
  const texts = shell.flatMap(({ code }) => commandsOf(code).map(({ words }) => words.join(' ')))
  const gone = notRun.filter(({ begins }) => !texts.some((text) => text.startsWith(begins)))
  expect(gone.map(({ begins }) => begins).join('\n')).toBe('')
})

describe('the program takes every command', () => {
  const isCommand = /^(?:npx )?(?:slipway|npm run|npm test|npm start|node (?:bench|scripts))\b/
  const inline = inlineCode.filter(({ code }) => isCommand.test(code) && !/[A-Z]{4,}|\$|…|\.\.\./.test(code))
  // one that is only named says nothing of its arguments
  const isNamed = (code: string): boolean => /^(?:npx )?slipway (?!.* -)/.test(code)
  const asked = inline.map(({ file, code }) => ({ name: file, code: isNamed(code) ? `${code} --help` : code }))
  // what is shown to fail is run
  const given = shell.filter(({ next }) => next?.language !== 'text')
  const all = [...given, ...asked]
  const seen = new Map(
    all.flatMap(({ name, code }) => commandsOf(code).map(({ words }) => [words.join(' '), { name, words }] as const)),
  )
  test.each([...seen].map(([text, { name, words }]) => ({ text, name, words })))('$text', async ({ words }) => {
    await checkCommand(words)
  })
})

async function checkCommand(words: readonly string[]): Promise<void> {
  const [program, first = '', second = ''] = words
  const behind = (word: string): readonly string[] => words.slice(words.indexOf(word) + 1)
  if (program === 'slipway') await parseSlipway(words.slice(1))
  else if (program === 'npx' && first === 'slipway') await parseSlipway(words.slice(2))
  else if (program === 'npm' && first === 'start')
    await parseSlipway(['serve', ...(words.includes('--') ? behind('--') : [])])
  else if (program === 'npm' && first === 'run') expect([...npmScripts]).toContain(second)
  else if (program === 'node' && first === 'bench/profile.mjs') {
    const shape = words.indexOf('--shape')
    await parseSlipway(['bench', '--profile', ...words.slice(2).filter((_, i) => shape < 0 || (i + 2 - shape) >>> 1)])
  } else if (program === 'node' && first.startsWith('bench/') && !first.includes('$')) {
    const flags = benchFlags(first)
    expect(flags, `${first} is not there`).toBeDefined()
    const unknown = words.filter((word) => word.startsWith('--') && !flags!.has(word.split('=')[0]!))
    expect(unknown).toEqual([])
  } else if (/^(?:node|python)$/.test(program!) && !/^-|\$/.test(first))
    expect(existsSync(join(root, first)), `${first} is not there`).toBe(true)
}

test('every flag in the prose is one of ours', () => {
  const bench = new Set(
    ['batch', 'prefill', 'stall', 'lora', 'depth', 'structured'].flatMap((n) => [...benchFlags(`bench/${n}.mjs`)!]),
  )
  const own = inlineCode.filter(({ file }) => !file.startsWith('tools/') && !file.startsWith('packages/'))
  const unknown = own.flatMap(({ file, code }) =>
    Array.from(code.matchAll(/(?:^|[ [])(--[a-z][\w-]*)/g), ([, flag]) => flag!)
      // a beginning such as --pooling-
      .filter((flag) => !flag.endsWith('-'))
      .filter((flag) => !knownFlags.has(flag) && !knownFlags.has(flag.replace('--', '--no-')))
      .filter((flag) => !bench.has(flag) && !foreignFlags.has(flag) && flag !== '--help' && flag !== '--no-')
      .map((flag) => `${file}: ${flag}`),
  )
  expect(unknown.join('\n')).toBe('')
})

test('every file that the prose names is there', () => {
  const files = ['packages', 'bench', 'bench/lib', 'scripts', 'examples', 'tools', 'docs'].flatMap((folder) =>
    // the peers that bench/ installs are many
    readdirSync(join(root, folder), { recursive: !folder.startsWith('bench'), encoding: 'utf8' }).map((name) =>
      join(folder, name),
    ),
  )
  const all = [...files, ...readdirSync(root)]
  const isThere = (name: string): boolean => all.some((path) => `/${path}`.endsWith(`/${name.replace(/^[./]+/, '')}`))
  const named = inlineCode.flatMap(({ file, code }) =>
    code
      .split(' ')
      .filter((word) => /^[\w./-]+\.(?:ts|mjs|cc|h|md|svg)$/.test(word) && !ownFiles.has(word))
      .map((word) => ({ file, word })),
  )
  const gone = named.filter(({ word }) => !isThere(word))
  expect(gone.map(({ file, word }) => `${file}: ${word}`).join('\n')).toBe('')
})

test('every link leads somewhere', () => {
  const broken = links.filter(({ target, anchor }) => {
    if (!existsSync(join(root, target))) return true
    const page = pages.find(({ file }) => file === target)
    return anchor !== '' && page !== undefined && !anchorsOf(page).includes(anchor)
  })
  expect(broken.map(({ file, target, anchor }) => `${file}: ${target}#${anchor}`).join('\n')).toBe('')
})

test('docs/README.md leads to every page', () => {
  const listed = links.filter(({ file }) => file === 'docs/README.md').map(({ target }) => target)
  const documents = pages
    .map(({ file }) => file)
    .filter((file) => file.startsWith('docs/') && file !== 'docs/README.md')
  expect(documents.filter((file) => !listed.includes(file)).join('\n')).toBe('')
})

describe('a message that no command provokes stands in the source', () => {
  const shown = new Set(blocks.flatMap(({ next }) => (next?.language === 'text' ? [next.name] : [])))
  const alone = blocks.filter(
    ({ language, name, file }) => language === 'text' && !shown.has(name) && /docs/.test(file),
  )
  const sources = readSources()
  test.skipIf(alone.length === 0).each(alone)('$name', ({ code }) => {
    for (const part of code.split(/…|\n/).map((text) => text.trim()))
      if (part.length > 3) expect(sources.includes(part), part).toBe(true)
  })
})

/** Everything that we wrote and that runs. */
function readSources(): string {
  const packages = join(root, 'packages')
  const names = readdirSync(packages, { recursive: true, encoding: 'utf8' })
  const isSource = (name: string): boolean =>
    /[/\\](?:src[/\\].*\.ts|bin\.mjs)$/.test(name) && !/\.test\.ts$|node_modules/.test(name)
  return names
    .filter(isSource)
    .map((name) => readFileSync(join(packages, name), 'utf8'))
    .join('\n')
}
