import { openAdapter, type LoraAdapter, type ModelConfig, type PrefixAdapter } from '@slipway/checkpoint'
import type { LoraTables } from '@slipway/models'
import { SlipwayError } from '@slipway/tensor'
import type { Sequence } from './sequence.ts'

/** An adapter as the front knows it. */
export interface AdapterInfo {
  readonly name: string
  /** Folder that it was loaded from. */
  readonly path: string
  readonly kind: 'lora' | 'prefix'
  /** Of LoRA; 0 for others. */
  readonly rank: number
  /** Tokens that a prefix takes of a sequence's length. */
  readonly numVirtualTokens: number
  /** The model that it was trained on, as its makers called it. */
  readonly baseModel: string | null
}

/** An adapter that requests may name. LoRA is on the device, or can be put there again from its folder. */
export interface Adapter extends AdapterInfo {
  /** Names what it computes: cached keys and values belong to it. */
  readonly digest: string
  /** What stands before the tokens of its sequences; it is written into their blocks and needs no place. */
  readonly prefix: PrefixAdapter | undefined
  /** Its place on the device; undefined while it has none. */
  place: number | undefined
  /** Sequences that hold it in its place. */
  numSequences: number
  isUnloaded: boolean
  failure: SlipwayError | undefined
}

/** What became of waiting sequences: those that can run now, and those whose adapter cannot be had. */
export interface Admitted {
  readonly ready: readonly Sequence[]
  readonly failed: readonly { readonly sequence: Sequence; readonly error: SlipwayError }[]
}

/**
 * Which adapters there are and which of them are on the device. A sequence holds its adapter there from admission to its
 * end; when another one needs the place, the idle one used longest ago goes. Sequences whose adapter has no place wait in
 * order of arrival, and those that come later wait behind them, so a busy adapter does not keep others out.
 */
export class Adapters {
  readonly #tables: LoraTables
  readonly #config: ModelConfig
  readonly #byName = new Map<string, Adapter>()
  /** By place, the one used longest ago first. */
  readonly #places = new Map<number, Adapter | undefined>()
  #waiting: Sequence[] = []
  #loading: Promise<void> | undefined

  constructor(tables: LoraTables, config: ModelConfig) {
    this.#config = config
    this.#tables = tables
    for (let place = 0; place < tables.numPlaces; place++) this.#places.set(place, undefined)
  }

  get list(): AdapterInfo[] {
    return [...this.#byName.values()].map(infoOf)
  }

  find(name: string): Adapter | undefined {
    return this.#byName.get(name)
  }

  get numWaiting(): number {
    return this.#waiting.length
  }

  /** Reads an adapter and puts it on the device where a place is free or idle. */
  async load(name: string, path: string): Promise<void> {
    this.#refuseTwice(name)
    const file = await openAdapter(path)
    try {
      if (file.kind === 'lora') this.#tables.check(file)
      else checkPrefix(file, this.#config)
    } finally {
      file.close()
    }
    // another load may have been faster
    this.#refuseTwice(name)
    const adapter = adapterOf(name, path, file)
    this.#byName.set(name, adapter)
    if (adapter.prefix) return
    while (this.#loading) await this.#loading
    if (adapter.place !== undefined || adapter.isUnloaded || !this.#fetch(adapter)) return
    await this.#loading
    if (!adapter.failure) return
    this.#byName.delete(name)
    throw adapter.failure
  }

  #refuseTwice(name: string): void {
    if (this.#byName.has(name))
      throw new SlipwayError('request', `adapter "${name}" is loaded already; unload it first, or take another name`, {
        param: 'lora_name',
      })
  }

  /** Takes a name away. Sequences under way keep the adapter to their end. */
  unload(name: string): void {
    const adapter = this.#byName.get(name)
    if (!adapter) throw unknownAdapter(name, this.#byName.keys())
    this.#byName.delete(name)
    adapter.isUnloaded = true
    this.#tidy(adapter)
  }

  /** Has a sequence wait for its adapter, `admit` lets it go on. */
  enter(sequence: Sequence): void {
    this.#waiting.push(sequence)
  }

  /** Lets go on whoever can, in order of arrival. */
  admit(): Admitted {
    const ready: Sequence[] = []
    const failed: { sequence: Sequence; error: SlipwayError }[] = []
    for (const sequence of this.#waiting) {
      const { adapter } = sequence
      if (!adapter || adapter.failure) {
        const error = adapter?.failure ?? unknownAdapter(sequence.request.lora!, this.#byName.keys())
        failed.push({ sequence, error })
      } else if (adapter.prefix || adapter.place !== undefined) {
        adapter.numSequences++
        if (adapter.place !== undefined) this.#touch(adapter.place, adapter)
        ready.push(sequence)
      } else {
        if (!this.#loading) this.#fetch(adapter)
        break
      }
    }
    // those that failed leave when they are ended
    this.#waiting = this.#waiting.filter((sequence) => !ready.includes(sequence))
    return { ready, failed }
  }

  /** The sequence has ended, wherever it was. */
  leave(sequence: Sequence): void {
    const { adapter } = sequence
    const i = this.#waiting.indexOf(sequence)
    if (i >= 0) this.#waiting.splice(i, 1)
    else if (adapter) adapter.numSequences--
    if (adapter) this.#tidy(adapter)
  }

  /** Whether a sequence still waits here. */
  isWaiting(sequence: Sequence): boolean {
    return this.#waiting.includes(sequence)
  }

  /** Resolves when the adapter has come that is on its way to the device; undefined when none is. */
  get arrival(): Promise<void> | undefined {
    return this.#loading
  }

  /** Starts to put an adapter on the device; false where every place is in use. One at a time. */
  #fetch(adapter: Adapter): boolean {
    const idle = [...this.#places].find(([, held]) => !held)
    const found = idle ?? [...this.#places].find(([, held]) => held!.numSequences === 0)
    if (!found) return false
    const [place, evicted] = found
    if (evicted) evicted.place = undefined
    this.#touch(place, adapter)
    this.#loading = this.#write(place, adapter).finally(() => {
      this.#loading = undefined
    })
    return true
  }

  async #write(place: number, adapter: Adapter): Promise<void> {
    // nobody takes the place meanwhile
    adapter.numSequences++
    try {
      const file = await openAdapter(adapter.path)
      try {
        if (file.kind !== 'lora' || file.digest !== adapter.digest)
          throw new SlipwayError(
            'checkpoint',
            `${adapter.path}: has changed; unload "${adapter.name}" and load it again`,
          )
        await this.#tables.write(place, file)
      } finally {
        file.close()
      }
      adapter.place = place
    } catch (error) {
      adapter.failure = SlipwayError.is(error) ? error : SlipwayError.fromWire(SlipwayError.toWire(error))
      this.#tables.clear(place)
      this.#places.set(place, undefined)
    }
    adapter.numSequences--
    this.#tidy(adapter)
  }

  #touch(place: number, adapter: Adapter): void {
    this.#places.delete(place)
    this.#places.set(place, adapter)
  }

  /** Gives the place of an adapter that is unloaded and no longer used to others. */
  #tidy(adapter: Adapter): void {
    const { place } = adapter
    if (!adapter.isUnloaded || adapter.numSequences > 0 || place === undefined) return
    if (this.#waiting.some((sequence) => sequence.adapter === adapter)) return
    adapter.place = undefined
    this.#tables.clear(place)
    this.#places.set(place, undefined)
  }
}

function infoOf({ name, path, kind, rank, numVirtualTokens, baseModel }: Adapter): AdapterInfo {
  return { name, path, kind, rank, numVirtualTokens, baseModel }
}

function adapterOf(name: string, path: string, file: LoraAdapter | PrefixAdapter): Adapter {
  const { kind, digest, baseModel = null } = file
  const state = { place: undefined, numSequences: 0, isUnloaded: false, failure: undefined }
  const own =
    file.kind === 'lora'
      ? { rank: file.rank, numVirtualTokens: 0, prefix: undefined }
      : { rank: 0, numVirtualTokens: file.numTokens, prefix: file }
  return { name, path, kind, digest, baseModel, ...own, ...state }
}

function checkPrefix(
  { directory, layers, width }: PrefixAdapter,
  { numLayers, numKvHeads, headDim }: ModelConfig,
): void {
  if (layers.length === numLayers && width === numKvHeads * headDim) return
  throw new SlipwayError(
    'checkpoint',
    `${directory}: has keys and values of ${layers.length} layers and width ${width}, the model has ${numLayers} of ` +
      `${numKvHeads * headDim}; it was trained on another model`,
    { file: directory },
  )
}

/** The error for a name that no adapter has. */
export function unknownAdapter(name: string, known: Iterable<string>): SlipwayError {
  const names = [...known].join(', ') || 'none'
  return new SlipwayError('not-found', `there is no adapter "${name}"; loaded: ${names}`, {
    param: 'lora',
    code: 'lora_not_found',
  })
}
