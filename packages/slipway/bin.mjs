#!/usr/bin/env node
// In old syntax, and alone: what a Node that is too old, or a folder that is not built, would say helps nobody.
import { existsSync } from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) fail(`Node ${process.versions.node} is too old; take 20.19 or newer`)
else if (!existsSync(new URL('dist/bin.js', import.meta.url))) fail('it is not built yet: run npm run build')
else import('./dist/bin.js')

/** @param {string} message */
function fail(message) {
  console.error(`slipway: ${message}`)
  process.exitCode = 1
}
