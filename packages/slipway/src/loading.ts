import { basename } from 'node:path'
import { LLM, type LLMOptions, type LoadProgress } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import cliProgress from 'cli-progress'

/** A model argument as the commands take it: none means the built-in model. */
export function modelPath(model: string | undefined): string {
  return model ?? miniModelDirectory
}

/** The name under which a model is served: one of the hub as it is, of a directory the last part. */
export function servedName(model: string | undefined): string {
  if (model === undefined) return 'slipway-mini'
  return /^[\w.-]+\/[\w.-]+$/.test(model) && !model.startsWith('.') ? model : basename(model)
}

/** Shows on standard error how far a load has come: a bar in a terminal, nothing in a pipe. */
export function loadReporter(): { report: (progress: LoadProgress) => void; done: () => void } {
  let bar: cliProgress.SingleBar | undefined
  let label = ''
  const done = (): void => bar?.stop()
  return {
    done,
    report({ stage, file, done: loaded, total }) {
      if (!process.stderr.isTTY) return
      const next = stage === 'weights' ? 'loading weights' : `downloading ${file ?? ''}`
      if (next !== label) {
        bar?.stop()
        label = next
        const format = `${label} {bar} {percentage} %`
        bar = new cliProgress.SingleBar({ format, stream: process.stderr }, cliProgress.Presets.shades_classic)
        bar.start(total, loaded)
      } else bar?.update(loaded)
    },
  }
}

/** Loads with progress shown; Ctrl-C meanwhile ends the program. */
export async function loadModel(model: string | undefined, options: LLMOptions): Promise<LLM> {
  const { report, done } = loadReporter()
  try {
    return await LLM.load(modelPath(model), { ...options, onProgress: report })
  } finally {
    done()
  }
}

/** An abort signal that Ctrl-C triggers; a second Ctrl-C ends the program at once. */
export function interruptSignal(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController()
  const onInterrupt = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', onInterrupt)
  return { signal: controller.signal, release: () => process.off('SIGINT', onInterrupt) }
}
