import { Command } from 'commander'
import { addEngineFlags, addSamplingFlags, engineOptions, samplingParams } from '../flags.ts'
import { interruptSignal, loadModel } from '../loading.ts'

/** Completes one text, streaming. */
export function completeCommand(): Command {
  const command = new Command('complete')
    .description('complete one text and print it as it comes')
    .argument('[model]')
    .requiredOption('-p, --prompt <text>', 'the text to go on from')
  return addSamplingFlags(addEngineFlags(command)).action(
    async (model: string | undefined, flags: { readonly prompt: string }) => {
      const { signal, release } = interruptSignal()
      const llm = await loadModel(model, engineOptions({ ...flags }))
      try {
        process.stdout.write(flags.prompt)
        const stream = llm.generate(flags.prompt, samplingParams({ ...flags }), { stream: true, signal })
        for await (const event of stream) if (event.type === 'delta') process.stdout.write(event.text)
        process.stdout.write('\n')
      } finally {
        release()
        await llm.close()
      }
    },
  )
}
