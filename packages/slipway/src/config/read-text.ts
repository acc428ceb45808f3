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
  if (kind === 'number or text' && (text.trim() === '' || Number.isNaN(Number(text)))) return text
  return toNumber(text, where)
}

function toNumber(text: string, where: string): number {
  const value = Number(text)
  if (text.trim() !== '' && !Number.isNaN(value)) return value
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
