import { maxCodePoint, type CodeRange } from './ast.ts'

/** Sorted ranges without overlap. */
export function union(...sets: (readonly CodeRange[])[]): CodeRange[] {
  const sorted = sets.flat().sort((a, b) => a[0] - b[0])
  const merged: [number, number][] = []
  for (const [low, high] of sorted) {
    const last = merged.at(-1)
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high)
    else merged.push([low, high])
  }
  return merged
}

/** Every character that is not in the set. Halves of surrogate pairs are no characters. */
export function complement(set: readonly CodeRange[]): CodeRange[] {
  const holes: CodeRange[] = []
  let next = 0
  for (const [low, high] of union(set, [[0xd800, 0xdfff]])) {
    if (low > next) holes.push([next, low - 1])
    next = high + 1
  }
  if (next <= maxCodePoint) holes.push([next, maxCodePoint])
  return holes
}

export function subtract(set: readonly CodeRange[], other: readonly CodeRange[]): CodeRange[] {
  return complement(union(complement(set), other))
}

export function contains(set: readonly CodeRange[], code: number): boolean {
  return set.some(([low, high]) => code >= low && code <= high)
}
