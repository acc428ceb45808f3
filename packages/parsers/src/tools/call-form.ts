/**
 * The one way in which an answer is written that has to hold calls; parsers read more. All calls stand between `open`
 * and `close`, with `between` between two.
 */
export interface CallForm {
  readonly open: string
  readonly close: string
  /** Undefined where the model's form has room for one call only. */
  readonly between: string | undefined
  /** What stands before the name of a call, between the name and the arguments, and after them. */
  readonly call: readonly [beforeName: string, beforeArguments: string, end: string]
  /** Arguments as keys and values between tags; undefined: a JSON object. */
  readonly tags?: {
    readonly key: readonly [open: string, close: string]
    readonly value: readonly [open: string, close: string]
    /** Markers, each beginning with `<`, that a value may not hold, for they would end it. */
    readonly never: readonly string[]
  }
}

interface JsonKeys {
  readonly nameKeys: readonly string[]
  readonly argumentsKeys: readonly string[]
  readonly wrapperKeys: readonly string[]
}

/** A call as a JSON object under the first of the keys that its parser knows. */
export function jsonCall({ nameKeys, argumentsKeys }: JsonKeys, wrapperKeys: readonly string[] = []): CallForm['call'] {
  // the innermost wrapper comes first
  const wrap = [...wrapperKeys].reverse().map((key) => `{${JSON.stringify(key)}: `)
  return [
    `${wrap.join('')}{${JSON.stringify(nameKeys[0])}: "`,
    `", ${JSON.stringify(argumentsKeys[0])}: `,
    '}'.repeat(wrap.length + 1),
  ]
}

/** Calls that stand each between tags of their own, on lines of their own. */
export function inTags(open: string, close: string): Pick<CallForm, 'open' | 'between' | 'close'> {
  return { open, close, between: `${close}\n${open}` }
}
