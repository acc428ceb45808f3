import { SlipwayError } from '@slipway/tensor'
import type { Setting } from './settings.ts'

/** What a text means as the value of a setting; `where` names the flag or variable for messages. */
export function readText({ kind, hasNumbers }: Setting, text: string, where: string): unknown {
  if (kind === 'text') return text
  if (kind === 'list') {
    const parts = text.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))
    return hasNumbers ? parts.map((part) => toNumber(part, where)) : parts
  }
  if (kind === 'flag') {
    const value = booleans[text.trim().toLowerCase()]
    if (value !== undefined) return value
    throw new SlipwayError('request', `${where}: "${text}" is neither true nor false`)
  }
  if (kind === 'number or text') return numberOf(text) ?? text
  return toNumber(text, where)
}

/** The number that a text reads as; undefined where it is none. */
export function numberOf(text: string): number | undefined {
  const value = Number(text)
  return text.trim() === '' || Number.isNaN(value) ? undefined : value
}

function toNumber(text: string, where: string): number {
  const value = numberOf(text)
  if (value !== undefined) return value
  throw new SlipwayError('request', `${where}: "${text}" is not a number`)
}

const booleans: Readonly<Record<string, boolean>> = {
  true: true,
  1: true,
  yes: true,
  on: true,
  false: false,
  0: false,
  no: false,
  off: false,
}
