#!/usr/bin/env node
// coverage is counted by module, so that its runs leave the bundle out
await import(process.env.NODE_V8_COVERAGE ? './dist/bin.js' : './dist/bundle/bin.js')
