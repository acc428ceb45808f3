// Writes docs/configuration.md from the schema of the settings; a test says whether it is up to date.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configurationPage } from '../packages/slipway/dist/config/page.js'
import { root } from './run.mjs'

writeFileSync(join(root, 'docs/configuration.md'), configurationPage())
