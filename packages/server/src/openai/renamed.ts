import { SlipwayError } from '@slipway/tensor'

/** What an API that asks for chat in other words calls the parameters of a chat. */
export type ParameterNames = ReadonlyMap<string, string>

/** A fault of a chat in the words of the API that was asked. */
export function renamed(error: unknown, names: ParameterNames): unknown {
  if (!SlipwayError.is(error) || error.kind !== 'request') return error
  const { param } = error.details
  const words = new RegExp(`\\b(${[...names.keys()].join('|')})\\b`, 'g')
  const toOwn = (text: string): string => text.replace(words, (name) => names.get(name)!)
  // only names of parameters have a line below or stand before a colon
  const message = error.message.replace(/^\w+(?=:)|\b\w+_\w+\b/g, toOwn)
  return new SlipwayError('request', message, {
    ...error.details,
    ...(typeof param === 'string' && { param: toOwn(param) }),
  })
}
