/** The name that a misspelt one most likely stands for; undefined where none is near. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const ranked = names.map((known) => ({ known, edits: distance(name.toLowerCase(), known.toLowerCase()) }))
  const best = ranked.sort((a, b) => a.edits - b.edits)[0]
  return best && best.edits <= Math.max(2, name.length / 3) ? best.known : undefined
}

/** ", did you mean ...?" where something is near. */
export function hint(name: string, names: readonly string[]): string {
  const found = nearest(name, names)
  return found === undefined ? '' : `; did you mean ${found}?`
}

/** Insertions, deletions and replacements between two words (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
