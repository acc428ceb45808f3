// @ts-check
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { shapes } from './shapes.mjs'

/**
 * @typedef {object} Options
 * @property {string} shape
 * @property {number} rounds
 * @property {number} retries
 * @property {string | undefined} peer
 * @property {readonly { name: string, path: string, args: readonly string[] }[]} llamaBenches
 * @property {'wint4' | 'wint8' | 'none'} quantization
 * @property {number} threads
 * @property {number} batchTokens
 * @property {string | undefined} json
 * @property {Readonly<Record<string, readonly number[]>>} own flags of one command only, lists of numbers
 */

/** @typedef {readonly [name: string, byDefault: string, text: string]} Flag */

/** @type {readonly Flag[]} */
const common = [
  ['shape', 'qwen2.5-0.5b', `one of ${Object.keys(shapes).join(', ')}`],
  ['rounds', '5', 'measured rounds, after one that warms up'],
  ['retries', '2', 'times that a measurement disturbed by other processes is taken again'],
  ['peer', 'node-llama-cpp', 'node-llama-cpp or none'],
  ['llama-bench', '', 'a llama-bench of the llama.cpp family as well: "[NAME=]PATH [ARGS]"; may be given again'],
  ['quantization', 'wint4', 'of our side: wint4, wint8 or none'],
  ['threads', String(availableParallelism()), 'of every side'],
  ['batch-tokens', '512', 'most tokens of one step, of every side'],
  ['json', '', 'file for the results'],
]

/**
 * Reads the command line. Ends the process after --help, or when something is wrong.
 *
 * @param {string} name
 * @param {readonly Flag[]} own lists of numbers
 * @param {readonly string[]} [taken] those of the common flags that the command has; all of them by default
 * @returns {Options}
 */
export function readOptions(name, own, taken = common.map(([flag]) => flag)) {
  const flags = [...own, ...common.filter(([flag]) => taken.includes(flag))]
  try {
    return parse(own, flags)
  } catch (error) {
    const isHelp = error === helpAsked
    if (!isHelp) console.error(`${/** @type {Error} */ (error).message}\n`)
    const lines = flags.map(([flag, value, text]) => `  --${flag}`.padEnd(22) + `${text} [${value}]`)
    console.log([`node bench/${name}.mjs`, ...lines].join('\n'))
    return process.exit(isHelp ? 0 : 2)
  }
}

/**
 * Splits `--shape NAME` off arguments that are meant for another command.
 *
 * @param {readonly string[]} args
 * @returns {{ shape: string, rest: readonly string[] }}
 */
export function shapeFirst(args) {
  const byDefault = 'qwen2.5-0.5b'
  const at = args.findIndex((arg) => arg === '--shape' || arg.startsWith('--shape='))
  if (at < 0) return { shape: byDefault, rest: args }
  const isOne = args[at] !== '--shape'
  const shape = isOne ? args[at].slice('--shape='.length) : (args[at + 1] ?? '')
  if (!(shape in shapes)) refuse(`--shape ${shape}: expected one of ${Object.keys(shapes).join(', ')}`)
  return { shape, rest: args.filter((_, i) => i !== at && (isOne || i !== at + 1)) }
}

/** @param {string} text name (by default that of the file), path and further arguments */
function llamaBenchOf(text) {
  const [, name, path, args] = /^(?:([\w. -]+)=)?(\S+)(.*)$/.exec(text.trim()) ?? []
  if (!path || !existsSync(path)) throw new Error(`--llama-bench ${text}: no file ${path ?? ''}`)
  return { name: name ?? basename(path), path, args: args.split(' ').filter(Boolean) }
}

/** Ends the process: what was asked for cannot be done. @param {string} message @returns {never} */
export function refuse(message) {
  console.error(message)
  process.exit(2)
}

const helpAsked = new Error('help')

/**
 * @param {readonly Flag[]} own
 * @param {readonly Flag[]} flags
 * @returns {Options}
 */
function parse(own, flags) {
  const known = flags.map(([flag]) => [flag, { type: 'string', multiple: flag === 'llama-bench' }])
  const { values } = parseArgs({ options: { help: { type: 'boolean' }, ...Object.fromEntries(known) } })
  if ('help' in values) throw helpAsked
  const byDefault = Object.fromEntries([...common, ...own])
  const text = (/** @type {string} */ flag) => String(/** @type {any} */ (values)[flag] ?? byDefault[flag])
  const numbers = (/** @type {string} */ flag, least = 1) => {
    const list = text(flag).split(',').map(Number)
    if (list.every((number) => Number.isInteger(number) && number >= least)) return list
    throw new Error(`--${flag} ${text(flag)}: expected whole numbers from ${least} on`)
  }
  const choice = (/** @type {string} */ flag, /** @type {readonly string[]} */ known) => {
    if (known.includes(text(flag))) return text(flag)
    throw new Error(`--${flag} ${text(flag)}: expected one of ${known.join(', ')}`)
  }
  const peer = choice('peer', ['node-llama-cpp', 'none'])
  return {
    shape: choice('shape', Object.keys(shapes)),
    rounds: numbers('rounds')[0],
    retries: numbers('retries', 0)[0],
    peer: peer === 'none' ? undefined : peer,
    llamaBenches: /** @type {string[]} */ (/** @type {any} */ (values)['llama-bench'] ?? []).map(llamaBenchOf),
    quantization: /** @type {Options['quantization']} */ (choice('quantization', ['wint4', 'wint8', 'none'])),
    threads: numbers('threads')[0],
    batchTokens: numbers('batch-tokens')[0],
    json: text('json') || undefined,
    own: Object.fromEntries(own.map(([flag]) => [flag, numbers(flag, 0)])),
  }
}
