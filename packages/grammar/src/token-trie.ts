/** The bytes of all tokens, one behind the other; nothing for those that are no text. In memory that threads share. */
export interface TokenBytes {
  /** Where those of each token begin, and the end. */
  readonly starts: Int32Array
  readonly bytes: Uint8Array
  /** Bytes of the longest. */
  readonly longest: number
  /** Tokens in all, also beyond those with bytes: the width of the logits. */
  readonly size: number
  readonly trie: TokenTrie
}

/** Trees of more nodes are not followed to all of these for a mask. */
export const largeTrie = 2 ** 14

/** A tree of tokens by their bytes. The children of a node, in the order of their bytes, are numbered one after the other. */
export interface TokenTrie {
  /** The byte that leads to each node; node 0 is the root. */
  readonly bytes: Uint8Array
  /** Where the children of each node begin, and the end. */
  readonly children: Int32Array
  /** Tokens in the order of their bytes: those that end at a node, and behind them those of its children. */
  readonly tokens: Int32Array
  /** Where those of each node begin in it, and where those that end at it end. */
  readonly firsts: Int32Array
  readonly ends: Int32Array
}

/** The tree of all tokens that have bytes. */
export function buildTrie({ starts, bytes }: Pick<TokenBytes, 'starts' | 'bytes'>): TokenTrie {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // letters of latin1 are bytes, and compare as these
  const texts = Array.from({ length: starts.length - 1 }, (_, id) => all.toString('latin1', starts[id], starts[id + 1]))
  const tokens = Array.from(texts.keys())
    .filter((id) => texts[id] !== '')
    .sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b))
  const nodeBytes = new Uint8Array(all.length + 1)
  const children = new Int32Array(all.length + 2)
  const firsts = new Int32Array(all.length + 1)
  const ends = new Int32Array(all.length + 1)
  // the tokens of each node, and all those behind it, begin with as many of the same bytes
  const lasts = new Int32Array(all.length + 1)
  const depths = new Int32Array(all.length + 1)
  lasts[0] = tokens.length
  let numNodes = 1
  for (let node = 0; node < numNodes; node++) {
    const depth = depths[node]!
    const last = lasts[node]!
    let at = firsts[node]!
    while (at < last && texts[tokens[at]!]!.length === depth) at++
    ends[node] = at
    children[node] = numNodes
    while (at < last) {
      const byte = texts[tokens[at]!]!.charCodeAt(depth)
      nodeBytes[numNodes] = byte
      depths[numNodes] = depth + 1
      firsts[numNodes] = at
      while (at < last && texts[tokens[at]!]!.charCodeAt(depth) === byte) at++
      lasts[numNodes++] = at
    }
  }
  children[numNodes] = numNodes
  const bytesOfNodes = new Uint8Array(new SharedArrayBuffer(numNodes))
  bytesOfNodes.set(nodeBytes.subarray(0, numNodes))
  return {
    bytes: bytesOfNodes,
    children: shared(children.subarray(0, numNodes + 1)),
    tokens: shared(tokens),
    firsts: shared(firsts.subarray(0, numNodes)),
    ends: shared(ends.subarray(0, numNodes)),
  }
}

/** The child that a byte leads to; undefined where there is none. */
export function childOf({ bytes, children }: TokenTrie, node: number, byte: number): number | undefined {
  const end = children[node + 1]!
  let [low, high] = [children[node]!, end]
  while (low < high) {
    const middle = (low + high) >> 1
    if (bytes[middle]! < byte) low = middle + 1
    else high = middle
  }
  return low < end && bytes[low] === byte ? low : undefined
}

/** Sets the bit of a token in a mask. */
export function allow(mask: Uint32Array, id: number): void {
  mask[id >>> 5]! |= 1 << (id & 31)
}

/** Numbers in memory that threads share. */
export function shared(values: ArrayLike<number>): Int32Array {
  const ints = new Int32Array(new SharedArrayBuffer(4 * values.length))
  ints.set(values)
  return ints
}
