import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The documents of the repository, taken apart into what can be checked.

export const root: string = fileURLToPath(new URL('../../../', import.meta.url))

/** A fenced block. */
export interface Block {
  /** `docs/cli.md line 8` */
  readonly name: string
  readonly file: string
  readonly language: string
  readonly code: string
  /** The block behind it, where nothing but blank lines is between the two. */
  readonly next: Block | undefined
}

export interface Page {
  /** From the root. */
  readonly file: string
  readonly text: string
  readonly blocks: readonly Block[]
  /** The text without its blocks. */
  readonly prose: string
}

const fence = /^```(\S*)\n([^]*?)^```$/gm

function blocksOf(file: string, text: string): Block[] {
  const found = [...text.matchAll(fence)]
  const blocks: Block[] = []
  for (const [i, { 0: whole, 1: language, 2: code, index }] of [...found.entries()].reverse()) {
    const line = text.slice(0, index).split('\n').length
    const follows = text.slice(index + whole.length, found[i + 1]?.index).trim() === ''
    blocks.unshift({
      name: `${file} line ${line}`,
      file,
      language: language!,
      code: code!,
      next: follows ? blocks[0] : undefined,
    })
  }
  return blocks
}

async function folder(path: string): Promise<string[]> {
  const names = await readdir(join(root, path))
  return names.filter((name) => name.endsWith('.md')).map((name) => join(path, name))
}

const files = [
  'README.md',
  'CONTRIBUTING.md',
  'AGENTS.md',
  'bench/README.md',
  'packages/mini/model/README.md',
  'tools/goldens/README.md',
  'tools/mini-model/README.md',
  ...(await folder('docs')),
  ...(await folder('docs/design')),
]

export const pages: readonly Page[] = await Promise.all(
  files.map(async (file) => {
    const text = await readFile(join(root, file), 'utf8')
    return { file, text, blocks: blocksOf(file, text), prose: text.replaceAll(fence, '') }
  }),
)

export const blocks: readonly Block[] = pages.flatMap((page) => page.blocks)

/** Texts between backticks in the prose, with where they stand. */
export const inlineCode: readonly { readonly file: string; readonly code: string }[] = pages.flatMap(
  ({ file, prose }) => Array.from(prose.matchAll(/`([^`\n]+)`/g), ([, code]) => ({ file, code: code! })),
)

/** Links to other files of the repository. */
export const links: readonly { readonly file: string; readonly target: string; readonly anchor: string }[] =
  pages.flatMap(({ file, prose }) =>
    Array.from(prose.matchAll(/\]\(([^)\s#]*)(?:#([^)\s]*))?\)/g), ([, target = '', anchor = '']) => ({
      file,
      target: target === '' ? file : join(dirname(file), target),
      anchor,
      isOutside: /^\w+:/.test(target),
    })).filter(({ isOutside }) => !isOutside),
  )

/** The anchors of a page: its headings as GitHub names them. */
export function anchorsOf({ prose }: Page): string[] {
  return Array.from(prose.matchAll(/^#+ (.*)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
