import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { benchCommand } from './commands/bench.ts'
import { chatCommand } from './commands/chat.ts'
import { collectEnvCommand } from './commands/collect-env.ts'
import { completeCommand } from './commands/complete.ts'
import { doctorCommand } from './commands/doctor.ts'
import { generateCommand } from './commands/generate.ts'
import { runBatchCommand } from './commands/run-batch.ts'
import { serveCommand } from './commands/serve.ts'
import { tokenizerCommand } from './commands/tokenizer.ts'

export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version

/** The whole command line; parsing it runs the command. */
export function createProgram(): Command {
  const program = new Command('slipway')
    .description('Serve large language models from Node: an OpenAI-compatible server, offline generation and tools.')
    .version(version)
    // "bench serve" has flags that "bench" has too
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for all options)')
    .addHelpText(
      'after',
      '\nMODEL is a directory in Hugging Face form or a name on the hub; without it, the built-in model is used.',
    )
  for (const command of [
    serveCommand,
    generateCommand,
    chatCommand,
    completeCommand,
    runBatchCommand,
    benchCommand,
    tokenizerCommand,
    doctorCommand,
    collectEnvCommand,
  ])
    program.addCommand(command())
  return program
}
