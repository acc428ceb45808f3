import { LLM } from '@slipway/engine'
import { createLog, serve, type RunningServer } from '@slipway/server'
import { SlipwayError } from '@slipway/tensor'
import { Command } from 'commander'
import { addConfigFlags } from '../config/flags.ts'
import { resolveConfig } from '../config/resolve.ts'
import { checkServeConfig, serveConfigSchema, splitServeConfig } from '../config/schema.ts'
import { toLLMOptions } from '../flags.ts'
import { loadReporter, modelPath, servedName } from '../loading.ts'
import { stopOnSignals } from '../stop-signals.ts'

/** Starts the OpenAI-compatible server. */
export function serveCommand(): Command {
  const command = new Command('serve').description('start an OpenAI-compatible server').argument('[model]')
  return addConfigFlags(command, serveConfigSchema).action(async (argument: string | undefined, flags: object) => {
    const { config, given, effective, warnings } = resolveConfig(serveConfigSchema, { ...flags })
    if (argument !== undefined && given.model !== undefined && given.model !== argument)
      throw new SlipwayError('request', `the model is given twice: ${argument} and ${given.model}; leave one away`)
    const { model = argument, server: settings, engine } = splitServeConfig(config, given)
    // before a model is loaded for nothing
    checkServeConfig(settings)
    const logger = createLog(settings)
    for (const warning of warnings) logger.warn(warning)
    logger.info({ config: effective }, 'effective configuration')
    const names = settings.servedModelNames ?? [servedName(model)]
    const { report, done } = loadReporter()
    const llm = LLM.start(modelPath(model), {
      ...toLLMOptions(engine),
      onProgress: report,
      onEngineCrash: (reason, numRestarts) =>
        logger.error({ reason: reason.message, numRestarts }, 'the engine stopped'),
    })
    let server: RunningServer
    try {
      server = await serve(llm, { ...settings, servedModelNames: names, logger, effectiveConfig: effective })
    } catch (error) {
      await llm.close()
      throw error
    }
    const stopping = stopOnSignals(async () => {
      const isClean = await server.close()
      await llm.close()
      return isClean
    }, logger)
    try {
      await llm.ready
    } catch (error) {
      if (await stopping()) return
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
    if (server.grpcAddress !== undefined) console.log(`gRPC, the Open Inference Protocol, on ${server.grpcAddress}\n`)
    console.log(curlLine(server.url, names[0]!, pooling === null ? undefined : llm.ownTask))
    if (settings.playground && pooling === null) console.log(`or open ${server.url} in a browser`)
  })
}

function curlLine(url: string, model: string, task: string | undefined): string {
  const messages = [{ role: 'user', content: 'Hello! Who are you?' }]
  const body = JSON.stringify({ model, ...(task === undefined ? { messages } : { input: 'Hello! Who are you?' }) })
  const path = task === undefined ? '/v1/chat/completions' : task === 'embed' ? '/v1/embeddings' : '/pooling'
  return `curl ${url}${path} -H 'content-type: application/json' -d '${body}'`
}
