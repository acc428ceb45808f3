import { parentPort, workerData } from 'node:worker_threads'
import { SlipwayError } from '@slipway/tensor'
import type { Adapters } from './adapters.ts'
import type { Engine, StepOutput } from './engine.ts'
import { loadEngine } from './load-engine.ts'
import type { Command, LoraCommand, Report, WorkerSetup } from './protocol.ts'

// The engine's thread: it computes, the front never does. Commands are taken between steps.

const port = parentPort!

function report(message: Report): void {
  port.postMessage(message)
}

function sendStep(outputs: readonly StepOutput[]): void {
  if (outputs.length > 0) report({ type: 'step', outputs })
}

/** Runs steps until nothing is left, yielding after each so that commands come in. */
async function work(engine: Engine): Promise<void> {
  while (engine.hasWork) {
    try {
      sendStep(await engine.step())
    } catch (error) {
      report({ type: 'step', outputs: engine.abortAll('error'), error: SlipwayError.toWire(error) })
    }
    await new Promise(setImmediate)
  }
  engine.checkIdle()
  // goes on in pauses while new requests come in
  engine.flush().catch((error: unknown) => report({ type: 'failed', error: SlipwayError.toWire(error) }))
}

/** Loads or unloads an adapter, and tells what there is now. */
async function change(adapters: Adapters | undefined, command: LoraCommand): Promise<void> {
  let failure: unknown
  try {
    if (!adapters) throw noRoom()
    if (command.type === 'unloadLora') adapters.unload(command.name)
    else await adapters.load(command.name, command.path)
  } catch (error) {
    failure = error
  }
  const error = failure === undefined ? {} : { error: SlipwayError.toWire(failure) }
  report({ type: 'adapters', id: command.id, adapters: adapters?.list ?? [], ...error })
}

function noRoom(): SlipwayError {
  return new SlipwayError('request', 'the engine was started without room for adapters; set enableLora', {
    param: 'enableLora',
  })
}

async function main(): Promise<void> {
  const { engine, info, device, adapters } = await loadEngine(workerData as WorkerSetup, (progress) =>
    report({ type: 'progress', progress }),
  )
  let working = false
  const wake = (): void => {
    if (working) return
    working = true
    void work(engine)
      .catch((error: unknown) => report({ type: 'failed', error: SlipwayError.toWire(error) }))
      .finally(() => {
        working = false
        // a command may have come between the last step and now
        if (engine.hasWork) wake()
      })
  }
  port.on('message', (command: Command) => {
    if (command.type === 'submit') {
      engine.add(command.request)
      wake()
    } else if (command.type === 'abort') sendStep(engine.abort(command.requestId, command.index))
    else if (command.type === 'ask') report({ type: 'answer', id: command.id, answer: engine[command.about]() })
    else if (command.type === 'resetPrefixCache') engine.resetPrefixCache()
    else if (command.type === 'loadLora' || command.type === 'unloadLora') void change(adapters, command)
    else {
      engine.abortAll('abort')
      void Promise.all([engine.flush(), engine.close()]).finally(() => {
        device.close()
        port.close()
      })
    }
  })
  report({ type: 'ready', info })
}

main().catch((error: unknown) => {
  report({ type: 'failed', error: SlipwayError.toWire(error) })
  port.close()
})
