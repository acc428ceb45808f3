// @ts-check
// `slipway bench --profile` of a shape: makes its checkpoint, and hands everything but --shape on to the command.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { shapeFirst } from './lib/options.mjs'
import { prepare } from './lib/prepare.mjs'

const { shape, rest } = shapeFirst(process.argv.slice(2))
const { checkpoint } = await prepare(shape, { gguf: false })
const bin = fileURLToPath(new URL('../packages/slipway/bin.mjs', import.meta.url))
const { status } = spawnSync(process.execPath, [bin, 'bench', checkpoint, '--profile', ...rest], { stdio: 'inherit' })
process.exitCode = status ?? 1
