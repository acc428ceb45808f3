// @ts-check

/** GPT-2's letters for bytes: the printable ones stand for themselves, the others for characters from U+0100 on. */
function byteLetters() {
  const prints = (/** @type {number} */ b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
  let shift = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(prints(byte) ? byte : shift++))
}

export const endOfText = '<|end|>'

/**
 * A byte-level BPE vocabulary of exactly `size` tokens: bytes, then pairs of bytes, then threes, each by a merge of its
 * own, so that reading the files costs what a real tokenizer's cost. The last token ends a text.
 *
 * @param {number} size
 * @returns {{ tokens: string[], merges: string[] }}
 */
export function vocabulary(size) {
  const tokens = byteLetters()
  const merges = []
  for (let n = 0; tokens.length < size - 1; n++) {
    const isPair = n < 65536
    // pair p is token 256 + p
    const left = tokens[isPair ? n >> 8 : 256 + ((n - 65536) >> 8)]
    const right = tokens[n & 255]
    merges.push(`${left} ${right}`)
    tokens.push(left + right)
  }
  tokens.push(endOfText)
  return { tokens, merges }
}

/** The same vocabulary as a tokenizer.json. @param {number} size */
export function tokenizerJson(size) {
  const { tokens, merges } = vocabulary(size)
  const end = { id: size - 1, content: endOfText, special: true }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }
  return {
    version: '1.0',
    added_tokens: [{ ...end, single_word: false, lstrip: false, rstrip: false, normalized: false }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.slice(0, -1).map((token, id) => [token, id])), merges },
  }
}
