/** The `count` names closest to `wanted` by edit distance, best first: what somebody who mistyped probably meant. */
export function nearestNames(wanted: string, names: Iterable<string>, count = 3): string[] {
  const scored = [...names].map((name) => ({ name, distance: editDistance(wanted, name) }))
  scored.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
  return scored.slice(0, count).map(({ name }) => name)
}

/** Longer names are no slip of the fingers, and comparing them would take time. */
const longestSlip = 64

/** `; did you mean ...?` with the name that a misspelt one most likely stands for; empty where none is near. */
export function didYouMean(name: string, names: readonly string[]): string {
  if (name.length > longestSlip) return ''
  const ranked = names.map((known) => ({ known, edits: editDistance(name.toLowerCase(), known.toLowerCase()) }))
  const best = ranked.sort((a, b) => a.edits - b.edits)[0]
  return best && best.edits <= Math.max(2, name.length / 3) ? `; did you mean ${best.known}?` : ''
}

/** Levenshtein's distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1))
    }
    previous = row
  }
  return previous[b.length]!
}
