interface Node {
  readonly next: Map<string, Node>
  /** The node of the longest proper end of this one's text that begins a marker too. */
  fallback: Node | undefined
  readonly depth: number
  /** The marker that ends here, if one does. */
  marker: string | undefined
}

/**
 * Finds markers in text that comes letter by letter (Aho and Corasick, 1975): one step for each letter, whatever the
 * text. `held` letters at the end of what was read may still become a marker.
 */
export class MarkerSearch {
  readonly #root: Node
  #node: Node

  constructor(markers: Iterable<string>) {
    this.#root = buildTree(markers)
    this.#node = this.#root
  }

  get held(): number {
    return this.#node.depth
  }

  /** Reads a letter (a UTF-16 unit) and gives the marker that it completes; after one the search begins anew. */
  read(letter: string): string | undefined {
    let node: Node | undefined = this.#node
    while (node && !node.next.has(letter)) node = node.fallback
    this.#node = node ? node.next.get(letter)! : this.#root
    const { marker } = this.#node
    if (marker !== undefined) this.reset()
    return marker
  }

  reset(): void {
    this.#node = this.#root
  }
}

function buildTree(markers: Iterable<string>): Node {
  const newNode = (depth: number): Node => ({ next: new Map(), fallback: undefined, depth, marker: undefined })
  const root = newNode(0)
  for (const marker of markers) {
    let node = root
    for (let i = 0; i < marker.length; i++) {
      const letter = marker[i]!
      if (!node.next.has(letter)) node.next.set(letter, newNode(node.depth + 1))
      node = node.next.get(letter)!
    }
    node.marker = marker
  }
  // level by level, since a fallback is always nearer to the root
  let level = [root]
  while (level.length > 0) {
    for (const node of level)
      for (const [letter, child] of node.next) {
        let fallback = node.fallback
        while (fallback && !fallback.next.has(letter)) fallback = fallback.fallback
        child.fallback = fallback ? fallback.next.get(letter)! : root
        child.marker ??= child.fallback.marker
      }
    level = level.flatMap((node) => [...node.next.values()])
  }
  return root
}
