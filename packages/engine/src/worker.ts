import { parentPort, workerData } from 'node:worker_threads'
import { SlipwayError } from '@slipway/tensor'
import { ControlPlane } from './control-plane.ts'
import type { Engine, StepOutput } from './engine.ts'
import { loadEngine } from './load-engine.ts'
import type { Command, Report, WorkerSetup } from './protocol.ts'

type Call = Extract<Command, { type: 'control' }>

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
  engine.checkIdle('count')
  // goes on in pauses while new requests come in
  engine.flush().catch((error: unknown) => report({ type: 'failed', error: SlipwayError.toWire(error) }))
}

/** Runs a command and tells what came of it. */
async function answer(control: ControlPlane, { id, method, args }: Call): Promise<void> {
  try {
    // the front's types have checked the arguments
    const run = control[method] as (...given: unknown[]) => unknown
    report({ type: 'control', id, result: await run.apply(control, [...args]) })
  } catch (error) {
    report({ type: 'control', id, error: SlipwayError.toWire(error) })
  }
}

/** Milliseconds between two looks at the clock while requests wait and no step is run. */
const expiryInterval = 50

async function main(): Promise<void> {
  const loaded = await loadEngine(workerData as WorkerSetup, (progress) => report({ type: 'progress', progress }))
  const { engine, info, device } = loaded
  const control = new ControlPlane(engine, loaded.modelControl, loaded.adapters, sendStep)
  setInterval(() => {
    if (!engine.hasWork && engine.hasDeadlines) sendStep(engine.expire())
  }, expiryInterval).unref()
  let working = false
  const wake = (): void => {
    if (working || !engine.hasWork) return
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
    else if (command.type === 'control') {
      void answer(control, command).then(wake)
      // it may wait for steps itself
      wake()
    } else {
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
