#!/usr/bin/env node
// In old syntax, and alone: what a Node that is too old, or a folder that is not built, would say helps nobody.
import { existsSync } from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)
// coverage is counted by module, so that its runs leave the bundle out
const file = process.env.NODE_V8_COVERAGE ? './dist/bin.js' : './dist/bundle/bin.js'
if (major < 20 || (major === 20 && minor < 19)) fail(`Node ${process.versions.node} is too old; take 20.19 or newer`)
else if (!existsSync(new URL(file, import.meta.url))) fail('it is not built yet: run npm run build')
else import(file)

/** @param {string} message */
function fail(message) {
  console.error(`slipway: ${message}`)
  process.exitCode = 1
}
