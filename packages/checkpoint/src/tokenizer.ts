import { join } from 'node:path'
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers'
import { SlipwayError } from '@slipway/tensor'
import { readBpe, type BpeTables } from './bpe-tables.ts'
import { isObject, messageOf, parseJsonObject, readJsonObject, readText, show } from './json-file.ts'
import type { JsonObject } from './json-file.ts'
import { bytesOfTokens } from './token-bytes.ts'
import { streamingDecoder } from './token-decoder.ts'
import type { StreamingDecoder } from './token-decoder.ts'

export interface EncodeOptions {
  /** Adds what the tokenizer puts around every text, such as a begin token; true by default. */
  readonly addSpecialTokens?: boolean
}

export interface EncodedPair {
  readonly ids: number[]
  /** 0 for the first text, 1 for the second, as the tokenizer has it; of the length of `ids`. */
  readonly typeIds: number[]
}

export interface DecodeOptions {
  /** Leaves out special tokens; true by default. */
  readonly skipSpecialTokens?: boolean
  /** Special tokens that stay all the same, by id. */
  readonly keepSpecialTokens?: readonly number[]
}

/**
 * Text to token ids and back. Encoding is the work of @huggingface/tokenizers; decoding is ours where it streams,
 * because 0.2.0 differs from the Rust library on bytes that are no UTF-8 and tidies up spaces that the model wrote.
 */
export class Tokenizer {
  readonly #inner: HubTokenizer
  readonly #decoderConfig: unknown
  readonly #joinsPairs: boolean
  readonly #special: ReadonlySet<number>
  readonly #vocab: BpeTables['vocab'] | undefined
  /** Largest token id and one, added tokens included; ids in between may be unused. */
  readonly vocabSize: number
  /** For messages. */
  readonly file: string

  /**
   * Takes the content of tokenizer.json and of tokenizer_config.json; `file` is only for messages. With `tables` the
   * model in tokenizer.json has none.
   */
  constructor(tokenizer: JsonObject, config: JsonObject = {}, file = 'tokenizer.json', tables?: BpeTables) {
    const added = readAddedTokens(tokenizer, file)
    this.file = file
    this.vocabSize = tables
      ? Math.max(tables.vocab.numIds, ...added.map(({ id }) => id + 1))
      : countIds(vocabOf(tokenizer, file), added, file)
    this.#special = new Set(added.filter(({ special }) => special === true).map(({ id }) => id))
    this.#decoderConfig = tokenizer['decoder']
    this.#joinsPairs = joinsPairs(tokenizer['post_processor'])
    this.#inner = build(tokenizer, config, file)
    this.#vocab = tables?.vocab
    if (tables) giveTables(this.#inner, tables, added)
  }

  /** Reads `tokenizer.json` and, if there is one, `tokenizer_config.json`. */
  static async load(directory: string): Promise<Tokenizer> {
    const file = join(directory, 'tokenizer.json')
    const text = await readText(file)
    if (text === undefined) {
      const message =
        `${directory}: has no tokenizer.json; make one with "save_pretrained" of the transformers library ` +
        '(tokenizer.model alone is not enough)'
      throw new SlipwayError('checkpoint', message, { file })
    }
    const config = (await readJsonObject(join(directory, 'tokenizer_config.json'))) ?? {}
    const bpe = readBpe(text)
    return bpe
      ? new Tokenizer(bpe.json, config, file, bpe.tables)
      : new Tokenizer(parseJsonObject(text, file), config, file)
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.#inner.encode(text, { add_special_tokens: addSpecialTokens }).ids
  }

  /** A text, or two as the tokenizer joins them, with the part that each token belongs to. */
  encodePair(text: string, second?: string, { addSpecialTokens = true }: EncodeOptions = {}): EncodedPair {
    if (second !== undefined && !this.#joinsPairs) {
      // without a template the library forgets the second text
      const [a, b] = [text, second].map((part) => this.encode(part, { addSpecialTokens }))
      return { ids: [...a!, ...b!], typeIds: [...a!.map(() => 0), ...b!.map(() => 1)] }
    }
    const encoding: { ids: number[]; token_type_ids?: number[] } = this.#inner.encode(text, {
      ...(second !== undefined && { text_pair: second }),
      add_special_tokens: addSpecialTokens,
      return_token_type_ids: true,
    })
    return { ids: encoding.ids, typeIds: encoding.token_type_ids ?? encoding.ids.map(() => 0) }
  }

  /** The text of the ids; ids that are no token give nothing, as in the Rust library. */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const known = ids.filter((id) => this.visibleToken(id, options) !== undefined)
    if (known.length === 0) return ''
    const stream = this.newStream()
    if (!stream) return this.#inner.decode(known, { clean_up_tokenization_spaces: false })
    return known.map((id) => stream.push(this.idToToken(id)!)).join('') + stream.flush()
  }

  tokenToId(token: string): number | undefined {
    return this.#inner.token_to_id(token)
  }

  /** The token as it stands in the vocabulary, where a space may be `Ġ` or `▁`. */
  idToToken(id: number): string | undefined {
    return this.#vocab ? this.#vocab.tokenOf(id) : this.#inner.id_to_token(id)
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id)
  }

  /** The token as `decode` sees it: undefined for ids that give no text. */
  visibleToken(id: number, { skipSpecialTokens = true, keepSpecialTokens = [] }: DecodeOptions): string | undefined {
    const isLeftOut = skipSpecialTokens && this.#special.has(id) && !keepSpecialTokens.includes(id)
    return isLeftOut ? undefined : this.idToToken(id)
  }

  /** The bytes of single tokens by id, special ones included; undefined where tokens have no bytes of their own. */
  bytesById(): ((id: number) => Uint8Array | undefined) | undefined {
    const toBytes = bytesOfTokens(this.#decoderConfig)
    return (
      toBytes &&
      ((id) => {
        const token = this.idToToken(id)
        return token === undefined ? undefined : toBytes(token)
      })
    )
  }

  /** A decoder for one sequence; undefined where text cannot be known before the sequence ends. */
  newStream(): StreamingDecoder | undefined {
    return streamingDecoder(this.#decoderConfig)
  }
}

/**
 * Turns ids into text as they come. The pieces of all `push` calls and of `flush` together are `decode` of all ids;
 * what was given out never changes: half a character waits, and so does a run of byte tokens, which is text only as a
 * whole. The cost of a push is that of its token.
 */
export class IncrementalDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #options: DecodeOptions
  readonly #stream: StreamingDecoder | undefined
  #held: number[] = []

  constructor(tokenizer: Tokenizer, options: DecodeOptions = {}) {
    this.#tokenizer = tokenizer
    this.#options = options
    this.#stream = tokenizer.newStream()
  }

  /** The text that this token makes certain, often empty. */
  push(id: number): string {
    if (!this.#stream) {
      // a decoder that cannot stream gives its text at the end
      this.#held.push(id)
      return ''
    }
    const token = this.#tokenizer.visibleToken(id, this.#options)
    return token === undefined ? '' : this.#stream.push(token)
  }

  /** The rest, at the end of the sequence; afterwards another sequence may begin. */
  flush(): string {
    if (this.#stream) return this.#stream.flush()
    const ids = this.#held
    this.#held = []
    return this.#tokenizer.decode(ids, this.#options)
  }
}

/** Throws a `checkpoint` error if the tokenizer could give an id for which the model has no embedding. */
export function checkVocabulary(tokenizer: Tokenizer, config: { readonly vocabSize: number }): void {
  if (tokenizer.vocabSize <= config.vocabSize) return
  const message =
    `${tokenizer.file}: has token ids up to ${tokenizer.vocabSize - 1}, but the model's vocab_size is ` +
    `${config.vocabSize}; the tokenizer belongs to another model, or the embeddings were not resized`
  throw new SlipwayError('checkpoint', message, { file: tokenizer.file })
}

interface AddedToken extends JsonObject {
  readonly id: number
  readonly content: string
}

function readAddedTokens(tokenizer: JsonObject, file: string): AddedToken[] {
  const added = tokenizer['added_tokens'] ?? []
  if (!Array.isArray(added)) throw fault(file, `"added_tokens" must be a list, found ${show(added)}`)
  for (const token of added) {
    if (!isObject(token) || typeof token['content'] !== 'string' || !isId(token['id'])) {
      throw fault(file, `"added_tokens" has ${show(token)}; expected an id and a content`)
    }
  }
  return added
}

function vocabOf(tokenizer: JsonObject, file: string): JsonObject | unknown[] {
  const model = tokenizer['model']
  const vocab = isObject(model) ? model['vocab'] : undefined
  if (!isObject(vocab) && !Array.isArray(vocab)) throw fault(file, '"model.vocab" is missing')
  return vocab
}

function countIds(vocab: JsonObject | readonly unknown[], added: readonly AddedToken[], file: string): number {
  let largest = -1
  for (const { id } of added) largest = Math.max(largest, id)
  // a list gives its ids by position
  if (Array.isArray(vocab)) return Math.max(largest + 1, vocab.length)
  for (const [token, id] of Object.entries(vocab)) {
    if (!isId(id)) throw fault(file, `token ${show(token)} has the id ${show(id)}; expected a whole number from 0 on`)
    largest = Math.max(largest, id)
  }
  return largest + 1
}

/** What @huggingface/tokenizers 0.2.0 makes of `vocab` and `merges`. */
interface BpeModel {
  config: { readonly unk_token?: string | null }
  tokens_to_ids: Pick<Map<string, number>, 'get' | 'has'>
  bpe_ranks: Pick<Map<string, number>, 'get'>
  unk_token_id: number | undefined
}

/** Puts the tables where the library's constructor would have put its own. */
function giveTables(inner: HubTokenizer, { vocab, ranks }: BpeTables, added: readonly AddedToken[]): void {
  const model = inner.model as unknown as BpeModel
  const unknown = model.config.unk_token
  model.unk_token_id = typeof unknown === 'string' ? vocab.get(unknown) : undefined
  for (const { id, content } of added) vocab.set(content, id)
  model.tokens_to_ids = vocab
  model.bpe_ranks = ranks
  let list: (string | undefined)[] | undefined
  // for decoders that we leave to the library
  Object.defineProperty(model, 'vocab', { get: () => (list ??= vocab.list()) })
}

/** Whether a post-processor says how two texts become one. */
function joinsPairs(config: unknown): boolean {
  if (!isObject(config)) return false
  const { type, processors } = config
  if (type === 'Sequence') return Array.isArray(processors) && processors.some(joinsPairs)
  return type === 'TemplateProcessing' || type === 'BertProcessing' || type === 'RobertaProcessing'
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31
}

function build(tokenizer: JsonObject, config: JsonObject, file: string): HubTokenizer {
  // the library wants every part to be there
  const parts = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, added_tokens: [] }
  try {
    return new HubTokenizer({ ...parts, ...tokenizer }, config)
  } catch (error) {
    throw fault(file, `cannot be used: ${messageOf(error)}`, error)
  }
}

function fault(file: string, message: string, cause?: unknown): SlipwayError {
  return new SlipwayError('checkpoint', `${file}: ${message}`, { file }, { cause })
}
