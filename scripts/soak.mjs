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
 * Bytes that a request may leave behind as objects, which are counted after a collection in each thread: the name alone of
 * a request that is kept takes more.
 */
const mostLeft = 32
/** Bytes of resident memory: the system's allocator gives back pages, and what lies between two living pieces is none. */
const mostResident = 256
/** MiB of old objects: with plenty of room the collector waits, and resident memory tells of its patience only. */
const heapLimit = 64
/** Keys and values so few that all their pages have been touched before memory is looked at. */
const kvCacheMemory = '8MB'
/** Short runs tell nothing of memory. */
const fewRequests = 5000

const flags = ['--port', '0', '--max-model-len', '512', '--max-body-bytes', String(maxBodyBytes), '--log-level', 'warn']
flags.push('--kv-cache-memory', kvCacheMemory)
const bin = join(root, 'packages/slipway/bin.mjs')
const probe = join(root, 'scripts/soak-memory.mjs')
const nodeFlags = [`--max-old-space-size=${heapLimit}`, '--expose-gc', '--import', probe]
const child = spawn(process.execPath, [...nodeFlags, bin, 'serve', ...flags], {
  stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  // as many pools as threads that allocate much: with one for each, every one of them keeps its own gaps
  env: { ...process.env, MALLOC_ARENA_MAX: '2' },
})
const memory = () =>
  new Promise((resolve) => {
    child.once('message', resolve)
    child.send('memory')
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
    const { front, engine, resident } = await memory()
    points.push({ numDone, front, engine, resident })
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

// caches have filled by the half
const late = points.slice(points.length / 2)
const perRequest = Object.fromEntries(
  ['front', 'engine', 'resident'].map((name) => [name, slopeOf(late.map((point) => [point.numDone, point[name]]))]),
)
const { faults, seconds, ...counts } = result
console.log({
  ...counts,
  perSecond: Math.round(numRequests / seconds),
  lostBlocks,
  bytesPerRequest: perRequest,
  exitCode,
})
for (const fault of faults.slice(0, 10)) console.error(fault)
const isFlat = Math.max(perRequest.front, perRequest.engine) < mostLeft && perRequest.resident < mostResident
const passed = faults.length === 0 && lostBlocks === 0 && exitCode === 0 && (numRequests < fewRequests || isFlat)
console.log(passed ? 'passed' : 'FAILED')
process.exit(passed ? 0 : 1)

/** Least squares: bytes per request. */
function slopeOf(pairs) {
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length
  const [x, y] = [mean(pairs.map(([n]) => n)), mean(pairs.map(([, bytes]) => bytes))]
  const above = pairs.reduce((sum, [n, bytes]) => sum + (n - x) * (bytes - y), 0)
  return Math.round(above / pairs.reduce((sum, [n]) => sum + (n - x) ** 2, 0))
}
