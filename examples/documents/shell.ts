// Enough of a shell's grammar to see which commands a block has, and with which words.

/** One command of a block. */
export interface ShellCommand {
  readonly words: readonly string[]
  /** As it is written. */
  readonly text: string
}

const operators = /^(?:&&|\|\||[;|&\n])/
const keywords = new Set(['do', 'done', 'then', 'fi', 'if', 'while', '!'])

/** The commands of a script in order, without comments, redirections, assignments in front and here-documents. */
export function commandsOf(script: string): ShellCommand[] {
  const found: ShellCommand[] = []
  let words: string[] = []
  let begin = 0
  let at = 0
  let pending: string | undefined
  const end = (): void => {
    while (words[0] !== undefined && (keywords.has(words[0]) || /^\w+=/.test(words[0]))) words.shift()
    const isLoop = words[0] === 'for'
    if (words.length > 0 && !isLoop) found.push({ words, text: script.slice(begin, at).trim() })
    words = []
  }
  while (at < script.length) {
    const rest = script.slice(at)
    const blank = /^(?:[ \t]|\\\n)+/.exec(rest)
    const comment = /^#[^\n]*/.exec(rest)
    const operator = operators.exec(rest)
    const here = /^<<-?\s*'?(\w+)'?/.exec(rest)
    const redirection = /^\d?(?:>>?|<)(?:&\d|\s*[^\s;|&]+)/.exec(rest)
    if (blank) at += blank[0].length
    else if (comment) at += comment[0].length
    else if (operator) {
      end()
      at += operator[0].length
      if (pending !== undefined && operator[0] === '\n') {
        at += (new RegExp(`^${pending}$`, 'm').exec(script.slice(at))?.index ?? 0) + pending.length
        pending = undefined
      }
      begin = at
    } else if (here) {
      pending = here[1]
      at += here[0].length
    } else if (redirection) at += redirection[0].length
    else {
      const [word, length] = readWord(rest)
      words.push(word)
      at += length
    }
  }
  end()
  return found
}

/** A word with its quotes resolved, and how many characters it took. */
function readWord(text: string): [string, number] {
  let word = ''
  let at = 0
  while (at < text.length) {
    const part = /^'([^']*)'|^"((?:\\.|[^"\\])*)"|^\\([^])|^([^\s;|&<>'"\\]+)/.exec(text.slice(at))
    if (!part) break
    word += part[1] ?? part[2]?.replace(/\\(["\\$])/g, '$1') ?? part[3] ?? part[4] ?? ''
    at += part[0].length
  }
  if (at === 0) throw new Error(`not understood as shell: ${text.slice(0, 60)}`)
  return [word, at]
}
