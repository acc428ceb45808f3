import { resolve } from 'node:path'
import { createApp, type AnswersFile, type ServerOptions } from '@slipway/server'
import { SlipwayError } from '@slipway/tensor'
import { Command, Option } from 'commander'
import type { z } from 'zod'
import { openOutput, type Answered } from '../batch/answered.ts'
import { openLines, type BatchLine } from '../batch/lines.ts'
import { addPaddleFlags, readPaddleFlags, refuseUnusedPaddleFlags, type PaddleFlags } from '../batch/paddle-flags.ts'
import { checkPaddleFlags } from '../batch/paddle-request.ts'
import { BatchProgress } from '../batch/progress.ts'
import { runBatch, type LineAnswer } from '../batch/run-batch.ts'
import { surveyOf, type Survey } from '../batch/survey.ts'
import { Tally } from '../batch/tally.ts'
import { addConfigFlags, toCount } from '../config/flags.ts'
import { resolveConfig } from '../config/resolve.ts'
import { checkServeConfig, modelConfigSchema, serveConfigSchema } from '../config/schema.ts'
import { toLLMOptions } from '../flags.ts'
import { interruptSignal, loadModel, servedName } from '../loading.ts'

interface Flags {
  readonly input: string
  readonly output: string
  readonly maxConcurrency?: number
  readonly retryErrors?: true
}

const { servedModelNames, toolCallParser, reasoningParser } = serveConfigSchema.shape
const batchConfigSchema = modelConfigSchema.extend({ servedModelNames, toolCallParser, reasoningParser })

/** Answers a file of requests, going on where an earlier run ended. */
export function runBatchCommand(): Command {
  const command = new Command('run-batch')
    .description("answer a file of requests, in OpenAI's or PaddleNLP's form; a second run goes on where one ended")
    .argument('[model]')
    .requiredOption(
      '-i, --input <file>',
      'JSON lines with "custom_id", "url" and "body", or with "src"; - reads standard input',
    )
    .requiredOption('-o, --output <file>', 'answers are added to it; those it has are not asked for again')
    .addOption(
      new Option('--max-concurrency <n>', 'requests at once (default: as many as keep the engine full)').argParser(
        toCount(1),
      ),
    )
    .option('--retry-errors', 'ask again for what has an error in the output')
  return addConfigFlags(addPaddleFlags(command), batchConfigSchema).action(
    async (model: string | undefined, flags: Flags) => {
      const paddle = readPaddleFlags({ ...flags })
      const {
        servedModelNames: names = [servedName(model)],
        toolCallParser,
        reasoningParser,
        ...engine
      } = resolveConfig(batchConfigSchema, { ...flags }).given
      if (flags.input !== '-' && resolve(flags.input) === resolve(flags.output))
        throw new SlipwayError('request', '--output: it is the input; name another file')
      checkServeConfig({ toolCallParser, reasoningParser })
      const lines = await openLines(flags.input)
      const output = await openOutput(flags.output)
      try {
        const survey = await surveyOf(lines(), output.answered, flags.retryErrors === true)
        if (survey.numPaddle === 0) refuseUnusedPaddleFlags(paddle)
        const tally = new Tally(survey)
        if (survey.open.size > 0) {
          const settings = { servedModelNames: names, toolCallParser, reasoningParser }
          const width = flags.maxConcurrency ?? paddle.batchSize
          await answerAll({ model, engine, settings, paddle, width, open: openOf(lines(), survey), tally, output })
        }
        console.log(tally.summary())
        process.exitCode = tally.exitCode
      } finally {
        await output.close()
      }
    },
  )
}

interface Work {
  readonly model: string | undefined
  readonly engine: z.input<typeof modelConfigSchema>
  readonly settings: ServerOptions & { readonly servedModelNames: string[] }
  readonly paddle: PaddleFlags
  readonly width: number | undefined
  readonly open: AsyncGenerator<BatchLine>
  readonly tally: Tally
  readonly output: AnswersFile<Answered>
}

async function answerAll({ model, engine, settings, paddle, width, open, tally, output }: Work): Promise<void> {
  const { signal, release } = interruptSignal()
  const llm = await loadModel(model, toLLMOptions(engine))
  const progress = new BatchProgress(tally.numDone, tally.numLines)
  try {
    checkPaddleFlags(paddle, llm.info.maxModelLen)
    // lines come from whoever runs this, not from the net
    const app = createApp(llm, { ...settings, playground: false, logLevel: 'fatal', maxBodyBytes: 2 ** 30 })
    tally.begin()
    const onAnswer = async (answer: LineAnswer): Promise<void> => {
      await output.write(JSON.stringify(answer.line))
      tally.add(answer)
      progress.update(tally.numDone, tally.numFailed, tally.tokensPerSecond)
    }
    const name = settings.servedModelNames[0]!
    await runBatch(open, { llm, app, model: name, paddle, width: width ?? llm.width, signal, onAnswer })
    tally.wasInterrupted = signal.aborted
  } finally {
    progress.stop()
    release()
    await llm.close()
  }
}

async function* openOf(lines: AsyncIterable<BatchLine>, { open }: Survey): AsyncGenerator<BatchLine> {
  for await (const line of lines) if (open.has(line.id)) yield line
}
