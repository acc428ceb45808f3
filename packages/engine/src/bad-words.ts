import type { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'

/** Each bad word as tokens: as it is, and as it reads behind a space, which tokenizers tell apart. */
export function badWordIds(words: readonly string[], tokenizer: Tokenizer): number[][] {
  return words.flatMap((word) => {
    const forms = [word, ` ${word.trimStart()}`].map((text) => tokenizer.encode(text, { addSpecialTokens: false }))
    if (forms.some((ids) => ids.length === 0))
      throw new SlipwayError('request', `badWords: ${JSON.stringify(word)} has no tokens; leave it out`, {
        param: 'badWords',
      })
    return forms[0]!.join() === forms[1]!.join() ? [forms[0]!] : forms
  })
}
