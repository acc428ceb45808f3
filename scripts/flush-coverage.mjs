// vitest ends its processes without letting V8 write what it counted
import { takeCoverage } from 'node:v8'
import { afterAll } from 'vitest'

if (process.env.NODE_V8_COVERAGE) afterAll(() => takeCoverage())
