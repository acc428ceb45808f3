import type { EngineStats, LLM } from '@slipway/engine'
import type { Families } from './families.ts'

/** Longest time that a scrape waits for the engine, in milliseconds: it answers between two steps. */
const patience = 2000

/** Metrics of the engine, asked of it when they are read. */
export function engineMetrics(families: Families, llm: LLM): () => Promise<void> {
  const running = families.gauge(
    { vllm: 'num_requests_running', fastdeploy: 'num_requests_running' },
    'Sequences that the engine works on',
  )
  const waiting = families.gauge(
    { vllm: 'num_requests_waiting', fastdeploy: 'num_requests_waiting' },
    'Sequences that wait for a place in the engine',
  )
  const usage = families.gauge(
    { vllm: 'kv_cache_usage_perc', fastdeploy: 'gpu_cache_usage_perc' },
    'Share of KV blocks that sequences own; 1 is all',
  )
  const freeBlocks = families.gauge(
    { fastdeploy: 'available_gpu_block_num' },
    'KV blocks that a sequence could get: free ones and those that only the prefix cache holds',
  )
  const totalBlocks = families.gauge({ fastdeploy: 'max_gpu_block_num' }, 'KV blocks')
  const queries = families.total({ vllm: 'prefix_cache_queries_total' }, 'Tokens looked up in the prefix cache')
  const hits = families.total({ vllm: 'prefix_cache_hits_total' }, 'Tokens found in the prefix cache')
  const preemptions = families.total(
    { vllm: 'num_preemptions_total', fastdeploy: 'reschedule_req_num' },
    'Sequences set back for want of blocks',
  )
  const steps = families.total({ plain: 'slipway_engine_steps_total' }, 'Steps of the engine')
  const restarts = families.total({ plain: 'slipway_engine_restarts_total' }, 'Times the engine was started again')
  const up = families.gauge({ plain: 'slipway_engine_up' }, '1 while the engine takes requests')
  const resident = families.gauge({ plain: 'process_resident_memory_bytes' }, 'Resident memory of the process')
  const heap = families.gauge({ plain: 'nodejs_heap_size_used_bytes' }, 'Objects of the thread that serves')
  const external = families.gauge({ plain: 'nodejs_external_memory_bytes' }, 'Memory that its objects hold elsewhere')
  const engineHeap = families.gauge({ plain: 'slipway_engine_heap_bytes' }, "Objects of the engine's thread")
  const cpu = families.total({ plain: 'process_cpu_seconds_total' }, 'CPU time of the process')
  const started = families.gauge({ plain: 'process_start_time_seconds' }, 'Start of the process in Unix time')
  const config = families.gauge(
    { vllm: 'cache_config_info', fastdeploy: 'cache_config_info' },
    'Facts of the KV cache',
    ['block_size', 'num_gpu_blocks', 'cache_dtype'],
  )

  const set = (stats: EngineStats): void => {
    running(stats.running)
    waiting(stats.waiting)
    usage(stats.ownedBlocks / stats.totalBlocks)
    freeBlocks(stats.freeBlocks + stats.cachedBlocks)
    totalBlocks(stats.totalBlocks)
    queries(stats.numQueriedTokens)
    hits(stats.numCachedTokens)
    preemptions(stats.numPreemptions)
    steps(stats.numSteps)
    engineHeap(stats.heapBytes)
  }

  return async () => {
    const { user, system } = process.cpuUsage()
    cpu((user + system) / 1e6)
    const memory = process.memoryUsage()
    resident(memory.rss)
    heap(memory.heapUsed)
    external(memory.external)
    started(performance.timeOrigin / 1000)
    restarts(llm.numRestarts)
    up(llm.state === 'ready' ? 1 : 0)
    if (llm.state !== 'ready') return
    const { blockSize, numBlocks, kvCacheDtype } = llm.info
    config(1, { block_size: blockSize, num_gpu_blocks: numBlocks, cache_dtype: kvCacheDtype })
    const stats = await within(llm.stats(), patience)
    // an engine in a long step, or that has just died: what was known last stays
    if (stats) set(stats)
  }
}

/** What the promise gives in time, else undefined. */
export async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), milliseconds)))
  try {
    return await Promise.race([promise.catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}
