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

/** A tree of tokens by their bytes, its nodes in preorder: behind a node come its children, up to its end. */
export interface TokenTrie {
  /** The byte that leads to each node. */
  readonly bytes: Uint8Array
  readonly ends: Int32Array
  /** Tokens in the order of their nodes, and where those of each node begin in it, and the end. */
  readonly tokens: Int32Array
  readonly firsts: Int32Array
}

/** The tree of all tokens that have bytes. */
export function buildTrie({ starts, bytes }: Pick<TokenBytes, 'starts' | 'bytes'>): TokenTrie {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // letters of latin1 are bytes, and compare as these
  const texts = Array.from({ length: starts.length - 1 }, (_, id) => all.toString('latin1', starts[id], starts[id + 1]))
  const sorted = Array.from(texts.keys())
    .filter((id) => texts[id] !== '')
    .sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b))
  const nodes = {
    bytes: new Uint8Array(all.length),
    ends: new Int32Array(all.length),
    firsts: new Int32Array(all.length),
  }
  let numNodes = 0
  const path: number[] = []
  const close = (depth: number): void => {
    for (; path.length > depth; path.pop()) nodes.ends[path.at(-1)!] = numNodes
  }
  for (const [i, id] of sorted.entries()) {
    const text = texts[id]!
    const before = i > 0 ? texts[sorted[i - 1]!]! : ''
    let common = 0
    while (common < before.length && before[common] === text[common]) common++
    close(common)
    for (let at = common; at < text.length; at++) {
      nodes.bytes[numNodes] = text.charCodeAt(at)
      // a node on the way to the token has none of its own
      nodes.firsts[numNodes] = i
      path.push(numNodes++)
    }
  }
  close(0)
  const bytesOfNodes = new Uint8Array(new SharedArrayBuffer(numNodes))
  bytesOfNodes.set(nodes.bytes.subarray(0, numNodes))
  return {
    bytes: bytesOfNodes,
    ends: shared(nodes.ends.subarray(0, numNodes)),
    tokens: shared(sorted),
    firsts: shared([...nodes.firsts.subarray(0, numNodes), sorted.length]),
  }
}

function shared(values: ArrayLike<number>): Int32Array {
  const ints = new Int32Array(new SharedArrayBuffer(4 * values.length))
  ints.set(values)
  return ints
}
