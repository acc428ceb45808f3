// A long run against a server of its own: node scripts/soak.mjs [requests] [concurrency]
// Shows its memory as it goes on, and fails when an answer is wrong, a block is lost or memory grows with the requests.
import { spawn } from 'node:child_process'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { metricOf, soak } from '../packages/server/dist/testing/soak.js'
import { root } from './run.mjs'

const numRequests = Number(process.argv[2] ?? 20_000)
const concurrency = Number(process.argv[3] ?? 16)
const maxBodyBytes = 20_000
/** Bytes that a request may leave behind: less than one token of its text. */
const mostPerRequest = 256

const flags = ['--port', '0', '--max-model-len', '512', '--max-body-bytes', String(maxBodyBytes), '--log-level', 'warn']
const bin = join(root, 'packages/slipway/bin.mjs')
const child = spawn(process.execPath, [bin, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
const url = await new Promise((resolve, reject) => {
  let text = ''
  child.stdout.on('data', (data) => {
    text += data
    const found = /serving on (http:\S+)/.exec(text)
    if (found) resolve(found[1])
  })
  child.once('exit', () => reject(new Error('the server ended before it was ready')))
})

const agent = new Agent({ keepAlive: true })
const points = []
const metrics = async () => (await fetch(`${url}/metrics`)).text()
const started = performance.now()
const result = await soak({
  url,
  agent,
  model: 'slipway-mini',
  numRequests,
  concurrency,
  maxBodyBytes,
  async onPart(numDone) {
    const text = await metrics()
    const bytes = metricOf(text, 'process_resident_memory_bytes')
    points.push([numDone, bytes])
    const seconds = (performance.now() - started) / 1000
    console.log(
      `${numDone} requests, ${(numDone / seconds).toFixed(0)}/s, ${(bytes / 2 ** 20).toFixed(1)} MiB resident`,
    )
  },
})

// what clients have left ends within a step
let text = await metrics()
for (let i = 0; i < 100 && metricOf(text, 'vllm:num_requests_running') > 0; i++) {
  await new Promise((resolve) => setTimeout(resolve, 50))
  text = await metrics()
}
const lost = metricOf(text, 'fastdeploy:max_gpu_block_num') - metricOf(text, 'fastdeploy:available_gpu_block_num')
agent.destroy()
child.kill('SIGTERM')
const code = await new Promise((resolve) => child.once('exit', resolve))

// caches and the garbage collector's halls have filled by the half
const late = points.slice(points.length / 2)
const slope = slopeOf(late)
const { faults, seconds, ...counts } = result
console.log({
  ...counts,
  perSecond: Math.round(numRequests / seconds),
  lostBlocks: lost,
  bytesPerRequest: Math.round(slope),
  exitCode: code,
})
for (const fault of faults.slice(0, 10)) console.error(fault)
const passed = faults.length === 0 && lost === 0 && code === 0 && (numRequests < 5000 || slope < mostPerRequest)
console.log(passed ? 'passed' : 'FAILED')
process.exit(passed ? 0 : 1)

/** Least squares: bytes per request. */
function slopeOf(pairs) {
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length
  const [x, y] = [mean(pairs.map(([n]) => n)), mean(pairs.map(([, bytes]) => bytes))]
  const above = pairs.reduce((sum, [n, bytes]) => sum + (n - x) * (bytes - y), 0)
  return above / pairs.reduce((sum, [n]) => sum + (n - x) ** 2, 0)
}
