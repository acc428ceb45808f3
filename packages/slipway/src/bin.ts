import { SlipwayError } from '@slipway/tensor'
import { CommanderError } from 'commander'
import { createProgram } from './program.ts'

createProgram()
  .parseAsync()
  .catch((error: unknown) => {
    // commander has printed its own message
    if (error instanceof CommanderError) process.exitCode = error.exitCode
    else {
      const expected = SlipwayError.is(error) && error.kind !== 'internal'
      console.error(expected ? `slipway: ${error.message}` : error)
      process.exitCode = 1
    }
  })
