// Loaded before the server that soak.mjs runs, with --expose-gc: tells what is left of the objects of each thread after a
// collection. The engine's thread tells the main one, and that tells the parent process.
import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads'

const channel = new BroadcastChannel('soak-memory')
const measure = () => {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

if (isMainThread) {
  process.on('message', () => {
    // those of other threads come later
    const front = measure()
    channel.onmessage = ({ data }) => {
      if (process.connected) process.send({ front, engine: data.engine, resident: process.memoryUsage.rss() })
    }
    channel.postMessage({})
  })
  // somebody who asks is reason enough to go on, and nobody else
  process.channel?.unref()
} else if (workerData?.options)
  // other threads are not given the options of an engine
  channel.onmessage = () => channel.postMessage({ engine: measure() })
channel.unref()
