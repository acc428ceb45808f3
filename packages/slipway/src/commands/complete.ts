import { Command } from 'commander'
import { addEngineFlags, addSamplingFlags, engineOptions, samplingParams } from '../flags.ts'
import { interruptSignal, loadModel } from '../loading.ts'

interface Flags {
  readonly prompt: string
  readonly suffix?: string
}

/** Completes one text, streaming. */
export function completeCommand(): Command {
  const command = new Command('complete')
    .description('complete one text and print it as it comes')
    .argument('[model]')
    .requiredOption('-p, --prompt <text>', 'the text to go on from')
    .option('--suffix <text>', 'the text to go on to, for models that fill in between two')
  return addSamplingFlags(addEngineFlags(command)).action(
    async (model: string | undefined, { prompt, suffix, ...flags }: Flags) => {
      const { signal, release } = interruptSignal()
      const llm = await loadModel(model, engineOptions({ ...flags }))
      try {
        process.stdout.write(prompt)
        const given = suffix === undefined ? prompt : { prefix: prompt, suffix }
        const stream = llm.generate(given, samplingParams({ ...flags }), { stream: true, signal })
        for await (const event of stream) if (event.type === 'delta') process.stdout.write(event.text)
        process.stdout.write(`${suffix ?? ''}\n`)
      } finally {
        release()
        await llm.close()
      }
    },
  )
}
