import { ChatTemplate, resolveModel, Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { Command } from 'commander'
import { text as readAll } from 'node:stream/consumers'
import { modelPath } from '../loading.ts'

interface Flags {
  readonly text?: string[]
  readonly json?: true
  readonly specialTokens: boolean
  readonly skipSpecialTokens?: true
  readonly revision?: string
  readonly downloadDir?: string
  readonly offline?: true
}

const actions = { encode, decode, count, info }
type Action = keyof typeof actions

/** Text to tokens and back, without a model being loaded. */
export function tokenizerCommand(): Command {
  return new Command('tokenizer')
    .description('text to token ids and back, as a model has it')
    .usage('[options] [model] encode|decode|count|info')
    .argument('<words...>', 'the model, unless it is the built-in one, and what to do')
    .option('-t, --text <text...>', 'texts, or ids to decode; default: standard input')
    .option('--json', 'JSON, for encode with the text of every token')
    .option('--no-special-tokens', 'encode, count: without those that the tokenizer adds around a text')
    .option('--skip-special-tokens', 'decode: leave special tokens out')
    .option('--revision <name>', 'branch, tag or commit on the hub')
    .option('--download-dir <folder>', 'where downloaded models are kept')
    .option('--offline', 'never ask the network')
    .action(async (words: string[], flags: Flags) => {
      const { model, action } = parseWords(words)
      refuseFlags(action, flags)
      const source = { revision: flags.revision, cacheDir: flags.downloadDir, offline: flags.offline }
      const directory = await resolveModel(modelPath(model), source)
      const tokenizer = await Tokenizer.load(directory)
      const texts = action === 'info' ? [] : (flags.text ?? [withoutLastNewline(await readAll(process.stdin))])
      for (const line of await actions[action](tokenizer, texts, flags, directory)) console.log(line)
    })
}

function parseWords(words: readonly string[]): { model: string | undefined; action: Action } {
  const [action, model, ...rest] = words.toReversed()
  if (action !== undefined && Object.hasOwn(actions, action) && rest.length === 0)
    return { model, action: action as Action }
  const message = `tokenizer ${words.join(' ')}: say [model] and one of ${Object.keys(actions).join(', ')}; texts follow --text`
  throw new SlipwayError('request', message)
}

function refuseFlags(action: Action, flags: Flags): void {
  const unused = [
    [!flags.specialTokens && action !== 'encode' && action !== 'count', 'no-special-tokens', 'encode and count'],
    [flags.skipSpecialTokens && action !== 'decode', 'skip-special-tokens', 'decode'],
    [flags.text && action === 'info', 'text', 'encode, decode and count'],
  ] as const
  for (const [isUnused, flag, uses] of unused)
    if (isUnused) throw new SlipwayError('request', `--${flag}: it belongs to ${uses}; leave it away`)
}

/** What a shell adds to a line is no part of the text. */
function withoutLastNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}

function encode(tokenizer: Tokenizer, texts: readonly string[], { specialTokens, json }: Flags): string[] {
  return texts.map((text) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: specialTokens })
    return json ? JSON.stringify({ ids, tokens: ids.map((id) => tokenizer.idToToken(id)) }) : ids.join(' ')
  })
}

function count(tokenizer: Tokenizer, texts: readonly string[], { specialTokens, json }: Flags): string[] {
  const counts = texts.map((text) => tokenizer.encode(text, { addSpecialTokens: specialTokens }).length)
  return json ? counts.map((tokens) => JSON.stringify({ tokens })) : counts.map(String)
}

function decode(tokenizer: Tokenizer, texts: readonly string[], { skipSpecialTokens, json }: Flags): string[] {
  // ids of one text may come as several arguments
  const ids = texts
    .flatMap((text) => text.split(/[\s,[\]]+/).filter((word) => word !== ''))
    .map((word) => toId(word, tokenizer))
  const text = tokenizer.decode(ids, { skipSpecialTokens: skipSpecialTokens === true })
  return [json ? JSON.stringify({ text }) : text]
}

function toId(word: string, tokenizer: Tokenizer): number {
  const id = Number(word)
  if (/^\d+$/.test(word) && tokenizer.idToToken(id) !== undefined) return id
  throw new SlipwayError('request', `decode: "${word}" is no token id; they go from 0 to ${tokenizer.vocabSize - 1}`)
}

async function info(tokenizer: Tokenizer, _: readonly string[], { json }: Flags, directory: string): Promise<string[]> {
  const all = Array.from({ length: tokenizer.vocabSize }, (_unused, id) => id)
  const special = all.filter((id) => tokenizer.isSpecial(id)).map((id) => ({ id, token: tokenizer.idToToken(id)! }))
  const around = tokenizer.encode('').map((id) => tokenizer.idToToken(id)!)
  const { isPresent: hasChatTemplate } = await ChatTemplate.load(directory)
  const facts = {
    directory,
    vocabSize: tokenizer.vocabSize,
    specialTokens: special,
    addedToTexts: around,
    hasChatTemplate,
  }
  if (json) return [JSON.stringify(facts, undefined, 2)]
  return [
    `folder:          ${directory}`,
    `vocabulary:      ${tokenizer.vocabSize} tokens`,
    `added to texts:  ${around.join(' ') || 'nothing'}`,
    `chat template:   ${hasChatTemplate ? 'yes' : 'no'}`,
    `special tokens:  ${special.map(({ id, token }) => `${token} (${id})`).join(', ') || 'none'}`,
  ]
}
