import type { EncodedPair, Tokenizer } from '@slipway/checkpoint'

/** Cuts a text to `length` tokens at one side; the special tokens at its ends stay, as far as there is room. */
export function truncate(
  { ids, typeIds }: EncodedPair,
  length: number,
  side: 'left' | 'right',
  tokenizer: Tokenizer,
): EncodedPair {
  if (ids.length <= length) return { ids, typeIds }
  const isText = (id: number): boolean => !tokenizer.isSpecial(id)
  const leading = Math.max(0, ids.findIndex(isText))
  const trailing = ids.length - 1 - Math.max(ids.findLastIndex(isText), leading - 1)
  const cut = ids.length - length
  const start =
    side === 'left'
      ? Math.min(leading, Math.max(0, length - trailing))
      : Math.max(ids.length - trailing - cut, Math.min(leading, length))
  const without = (list: readonly number[]): number[] => [...list.slice(0, start), ...list.slice(start + cut)]
  return { ids: without(ids), typeIds: without(typeIds) }
}
