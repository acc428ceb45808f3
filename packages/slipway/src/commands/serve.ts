import { basename } from 'node:path'
import { LLM } from '@slipway/engine'
import { serve } from '@slipway/server'
import { Command, InvalidArgumentError, Option } from 'commander'
import { addEngineFlags, engineOptions } from '../flags.ts'
import { loadReporter, modelPath } from '../loading.ts'
import { addParserFlags, checkParserNames, type ParserFlags } from './parser-flags.ts'

interface Flags extends ParserFlags {
  readonly host: string
  readonly port: number
  readonly servedModelName?: string[]
  readonly runtimeLora?: boolean
  readonly playground: boolean
  readonly adminKey?: string
}

const builtInName = 'slipway-mini'

/** Starts the OpenAI-compatible server. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('start an OpenAI-compatible server')
    .argument('[model]')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .addOption(new Option('--port <n>', 'port to listen on; 0 takes a free one').default(8000).argParser(toPort))
    .option('--served-model-name <name...>', 'names under which clients ask for the model')
    .option('--runtime-lora', 'let clients load and unload LoRA adapters')
    .option('--no-playground', 'serve no web page at /')
    .addOption(new Option('--admin-key <key>', 'key for the routes that control the engine').env('SLIPWAY_ADMIN_KEY'))
  return addEngineFlags(addParserFlags(command)).action(async (model: string | undefined, flags: Flags) => {
    const names = flags.servedModelName ?? [model === undefined ? builtInName : servedName(model)]
    const { host, port, toolCallParser, reasoningParser, runtimeLora = false, playground, adminKey } = flags
    checkParserNames(flags)
    const { report, done } = loadReporter()
    const llm = LLM.start(modelPath(model), { ...engineOptions({ ...flags }), onProgress: report })
    const server = await serve(llm, {
      host,
      port,
      servedModelNames: names,
      toolCallParser,
      reasoningParser,
      runtimeLora,
      playground,
      ...(adminKey !== undefined && { adminKey }),
    })
    let closing: Promise<void> | undefined
    const stop = (): void => {
      // a second Ctrl-C does not wait for open requests
      if (closing) process.exit(130)
      closing = server.close().then(() => llm.close())
      closing.catch((error: unknown) => console.error(error))
    }
    process.on('SIGINT', stop).on('SIGTERM', stop)
    try {
      await llm.ready
    } catch (error) {
      await closing
      if (closing) return
      await server.close()
      await llm.close()
      throw error
    } finally {
      done()
    }
    const { device, dtype, numParameters, maxModelLen, kvCacheTokens, loadSeconds, pooling } = llm.info
    const size = `${(numParameters / 1e6).toFixed(1)}M parameters`
    console.log(`${names[0]}: ${size} as ${dtype} on ${device}, loaded in ${loadSeconds.toFixed(1)} s`)
    console.log(`up to ${maxModelLen} tokens per request, ${kvCacheTokens} in all; serving on ${server.url}\n`)
    console.log(curlLine(server.url, names[0]!, pooling === null ? undefined : llm.ownTask))
    if (playground && pooling === null) console.log(`or open ${server.url} in a browser`)
  })
}

/** A hub name as it is; of a directory, its last part. */
function servedName(model: string): string {
  return /^[\w.-]+\/[\w.-]+$/.test(model) && !model.startsWith('.') ? model : basename(model)
}

function curlLine(url: string, model: string, task: string | undefined): string {
  const messages = [{ role: 'user', content: 'Hello! Who are you?' }]
  const body = JSON.stringify({ model, ...(task === undefined ? { messages } : { input: 'Hello! Who are you?' }) })
  const path = task === undefined ? '/v1/chat/completions' : task === 'embed' ? '/v1/embeddings' : '/pooling'
  return `curl ${url}${path} -H 'content-type: application/json' -d '${body}'`
}

function toPort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new InvalidArgumentError('It must be 0 to 65535.')
  return port
}
