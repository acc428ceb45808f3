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
/**
 * Bytes that a request may leave behind, as objects of the two threads and of the process: less than what it takes itself.
 * Collections come when they like, which moves the slope of 20,000 requests by some hundred bytes to either side.
 */
const mostLeft = 1024
/** MiB of old objects: with plenty of room the collector waits, and resident memory tells of its patience only. */
const heapLimit = 64
/** Short runs tell nothing of memory. */
const fewRequests = 5000

const flags = ['--port', '0', '--max-model-len', '512', '--max-body-bytes', String(maxBodyBytes), '--log-level', 'warn']
const bin = join(root, 'packages/slipway/bin.mjs')
const child = spawn(process.execPath, [`--max-old-space-size=${heapLimit}`, bin, 'serve', ...flags], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
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
const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(1)
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
    const of = (name) => metricOf(text, name)
    const [front, engine] = [of('nodejs_heap_size_used_bytes'), of('slipway_engine_heap_bytes')]
    const resident = of('process_resident_memory_bytes')
    points.push({ numDone, objects: front + engine + of('nodejs_external_memory_bytes'), resident })
    if (points.length % 5 > 0) return
    const rate = (numDone / (performance.now() - started)) * 1000
    const held = `${mebibytes(front)} and ${mebibytes(engine)} MiB of objects`
    console.log(`${numDone} requests, ${rate.toFixed(0)}/s, ${mebibytes(resident)} MiB resident, ${held}`)
  },
})

// what clients have left ends within a step
let text = await metrics()
for (let i = 0; i < 100 && metricOf(text, 'vllm:num_requests_running') > 0; i++) {
  await new Promise((resolve) => setTimeout(resolve, 50))
  text = await metrics()
}
const lostBlocks = metricOf(text, 'fastdeploy:max_gpu_block_num') - metricOf(text, 'fastdeploy:available_gpu_block_num')
agent.destroy()
child.kill('SIGTERM')
const exitCode = await new Promise((resolve) => child.once('exit', resolve))

// caches have filled by the half; between two collections only the lowest points tell what is really held
const late = points.slice(points.length / 2)
const perRequest = { objects: slopeOf(floorsOf(late, 'objects')), resident: slopeOf(floorsOf(late, 'resident')) }
const { faults, seconds, ...counts } = result
console.log({
  ...counts,
  perSecond: Math.round(numRequests / seconds),
  lostBlocks,
  bytesPerRequest: perRequest,
  exitCode,
})
for (const fault of faults.slice(0, 10)) console.error(fault)
const isFlat = Math.max(perRequest.objects, perRequest.resident) < mostLeft
const passed = faults.length === 0 && lostBlocks === 0 && exitCode === 0 && (numRequests < fewRequests || isFlat)
console.log(passed ? 'passed' : 'FAILED')
process.exit(passed ? 0 : 1)

/** The lowest of every ten points. */
function floorsOf(list, name) {
  const groups = Array.from({ length: Math.floor(list.length / 10) }, (_, i) => list.slice(10 * i, 10 * i + 10))
  return groups.map((group) => [group[0].numDone, Math.min(...group.map((point) => point[name]))])
}

/** Least squares: bytes per request. */
function slopeOf(pairs) {
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length
  const [x, y] = [mean(pairs.map(([n]) => n)), mean(pairs.map(([, bytes]) => bytes))]
  const above = pairs.reduce((sum, [n, bytes]) => sum + (n - x) * (bytes - y), 0)
  return Math.round(above / pairs.reduce((sum, [n]) => sum + (n - x) ** 2, 0))
}
