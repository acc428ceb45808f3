import { freemem } from 'node:os'
import {
  openCheckpoint,
  packedCacheDir,
  readPoolingConfig,
  type Checkpoint,
  type ModelConfig,
  type PoolingConfig,
} from '@slipway/checkpoint'
import { Matchers } from '@slipway/grammar'
import { loadModel, type LanguageModel, type LoraTables, type Purpose } from '@slipway/models'
import {
  cpuDevice,
  defaultDevice,
  kvBytesPerToken,
  PackedCache,
  referenceDevice,
  SlipwayError,
  type ActivationType,
  type Device,
  type KvDtype,
  type LoadReport,
} from '@slipway/tensor'
import { Adapters } from './adapters.ts'
import { BlockPool } from './block-pool.ts'
import { Engine } from './engine.ts'
import type { ModelControl } from './control-plane.ts'
import { endIds, grammarSetup } from './grammar-setup.ts'
import { openDisk, openTier } from './open-tier.ts'
import { LoadedModel } from './model-control.ts'
import type { ResolvedEngineOptions } from './options.ts'
import type { LoadProgress, ModelInfo, WorkerSetup } from './protocol.ts'
import { LogitsProcessors } from './logits-processor.ts'
import { classTokenIds, poolingInfoOf, purposeOf } from './pooling/purpose.ts'
import { PrefixCache } from './prefix-cache.ts'
import { Runner } from './runner.ts'
import { Scheduler } from './scheduler.ts'
import { diskBytes, memoryBytes } from './sizes.ts'

type FloatType = 'f32' | 'bf16' | 'f16'

const floatTypes = { float32: 'f32', bfloat16: 'bf16', float16: 'f16' } as const
const kvTypes = { ...floatTypes, int8: 'i8' } as const
export const typeNames = { f32: 'float32', bf16: 'bfloat16', f16: 'float16', i8: 'int8' } as const

/** Share of the free memory that the KV cache may take when nothing is said. */
const defaultShare = 0.4

/** A model on its device, with the types that its options come to. */
export interface PlacedModel {
  readonly checkpoint: Checkpoint
  readonly device: Device
  readonly model: LanguageModel
  readonly dtype: FloatType
  readonly kvDtype: KvDtype
  /** What the model was loaded for, and what its files say of that. */
  readonly purpose: Purpose
  readonly poolingConfig: PoolingConfig
  readonly fromPackedCache: boolean
  /** Gives the memory of the weights back; the model must not run any more. */
  release(): Promise<void>
}

/**
 * Loads a checkpoint onto a device, by default a new one as the options name it. The checkpoint is closed, at once or when
 * its last rows are there. `adapters` are those of a model of the same config on that device.
 */
export async function placeModel(
  directory: string,
  options: ResolvedEngineOptions,
  onProgress: (progress: LoadProgress) => void,
  device = openDevice(options),
  adapters?: LoraTables,
): Promise<PlacedModel> {
  const checkpoint = await openCheckpoint(directory)
  let report: LoadReport | undefined
  try {
    const dtype = floatType(options.dtype, checkpoint.config.dtype)
    const poolingConfig = await readPoolingConfig(directory, checkpoint.config)
    const purpose = purposeOf(poolingConfig, options)
    const tokenIds = purpose === 'classify' ? await classTokenIds(directory, poolingConfig, options) : undefined
    const model = await loadModel(checkpoint, device, {
      dtype,
      activations: activationType(options, dtype),
      quantization: options.quantization,
      headQuantization: options.headQuantization,
      purpose,
      classTokenIds: tokenIds,
      lora: adapters ?? (options.enableLora ? options : undefined),
      packedCache: packedCache(options),
      late: true,
      onLoaded: (loaded) => (report = loaded),
      onProgress: (done, total) => onProgress({ stage: 'weights', done, total }),
    })
    if (purpose === 'generate' && model.attention !== 'causal')
      throw new SlipwayError('request', 'option task: this model cannot generate; use embed or classify', {
        param: 'task',
      })
    // a bidirectional model keeps keys for one layer's time only, so there is nothing to save
    const autoKvDtype = model.attention === 'causal' ? dtype : 'f32'
    const kvDtype = options.kvCacheDtype === 'auto' ? autoKvDtype : kvTypes[options.kvCacheDtype]
    const release = async (): Promise<void> => report?.release()
    const fromPackedCache = report?.fromCache ?? false
    return { checkpoint, device, model, dtype, kvDtype, purpose, poolingConfig, fromPackedCache, release }
  } finally {
    if (report?.late) void report.late.complete.finally(() => checkpoint.close())
    else checkpoint.close()
  }
}

function packedCache({ packedCache: isWanted, packedCacheLimit }: ResolvedEngineOptions): PackedCache | undefined {
  if (!isWanted) return undefined
  return new PackedCache({ directory: packedCacheDir(), maxBytes: diskBytes(packedCacheLimit, 'packedCacheLimit') })
}

/** Loads a model and builds the engine around it. */
export async function loadEngine(
  { model: name, directory, options }: WorkerSetup,
  onProgress: (progress: LoadProgress) => void,
): Promise<{
  engine: Engine
  info: ModelInfo
  device: Device
  modelControl: ModelControl
  adapters: Adapters | undefined
}> {
  const started = performance.now()
  const placed = await placeModel(directory, options, onProgress)
  const { checkpoint, device, model, dtype, kvDtype, fromPackedCache } = placed
  const isCausal = model.attention === 'causal'
  if (!isCausal && options.kvDiskCache)
    throw new SlipwayError('request', 'option kvDiskCache: this model has no keys that could be kept; leave it out', {
      param: 'kvDiskCache',
    })
  const plan = planMemory(model, options, kvDtype, placed.poolingConfig.maxTokens)
  const pooling =
    placed.purpose === 'generate' ? null : poolingInfoOf(placed.poolingConfig, model, options, plan.maxModelLen)
  // keys that depend on the whole text belong to no prefix
  const cache = options.prefixCaching && isCausal ? new PrefixCache(options.blockSize) : undefined
  const pool = new BlockPool(plan.numBlocks, options.blockSize, cache)
  const runner = new Runner(device, model, plan.numBlocks, options.blockSize, kvDtype)
  const settings = { device, dtype, memory: runner.memory, config: model.config }
  const tier = await openTier(directory, options, { ...settings, pool, cache })
  const processors = await LogitsProcessors.load(options.logitsProcessors ?? [], checkpoint.config.vocabSize)
  const eosIds = endIds(checkpoint.config, checkpoint.generationConfig)
  const grammars = grammarSetup(directory, checkpoint.config.vocabSize, eosIds)
  const wholeTexts = !isCausal
  const maxNumBatchedTokens = wholeTexts
    ? Math.max(options.maxNumBatchedTokens, plan.maxModelLen)
    : options.maxNumBatchedTokens
  const scheduler = new Scheduler(pool, { ...options, maxNumBatchedTokens, wholeTexts }, tier)
  const adapters = model.adapters && new Adapters(model.adapters, model.config)
  const engine = new Engine({
    pool,
    runner,
    tier,
    scheduler,
    eosIds,
    adapters,
    matchers: () => new Matchers(grammars),
    processors,
    copyBlock: (from, to) => runner.memory.copy(from, to),
    prepareMemory: (reach) => runner.memory.prepare(reach),
  })
  const info: ModelInfo = {
    model: name,
    directory,
    architecture: checkpoint.config.architecture,
    numParameters: model.numParameters,
    vocabSize: checkpoint.config.vocabSize,
    maxModelLen: plan.maxModelLen,
    device: device.name,
    dtype: typeNames[dtype],
    quantization: options.quantization ?? null,
    headQuantization: options.headQuantization ?? null,
    kvCacheDtype: typeNames[kvDtype],
    blockSize: options.blockSize,
    numBlocks: plan.numBlocks,
    kvCacheTokens: plan.numBlocks * options.blockSize,
    kvCacheBytes: plan.numBlocks * plan.bytesPerBlock,
    logitsProcessors: processors.names,
    pooling,
    loadSeconds: (performance.now() - started) / 1000,
    fromPackedCache,
    updatedWeights: null,
  }
  const modelControl = new LoadedModel({
    info,
    weights: placed,
    runner,
    scheduler,
    pool,
    tier,
    load: (from) => placeModel(from, options, onProgress, device, model.adapters),
    openDisk: (from) => openDisk(from, options, settings),
  })
  return { engine, info, device, modelControl, adapters }
}

function openDevice({ device, threads, pinThreads }: ResolvedEngineOptions): Device {
  const settings = { pinThreads, ...(threads !== undefined && { threads }) }
  if (device === 'reference' && pinThreads)
    throw new SlipwayError('request', 'option pinThreads: the reference device has no threads to pin; leave it out', {
      param: 'pinThreads',
    })
  if (device === 'reference') return referenceDevice()
  return device === 'cpu' ? cpuDevice(settings) : defaultDevice(settings)
}

/** What rows are rounded to; bf16 is refused where no weight is bf16. */
function activationType(
  { activationDtype, quantization, headQuantization }: ResolvedEngineOptions,
  dtype: FloatType,
): ActivationType {
  if (activationDtype === 'float32') return 'f32'
  if (dtype !== 'bf16' || (quantization && headQuantization))
    throw new SlipwayError(
      'request',
      `option activationDtype: bfloat16 needs weights in bfloat16, these are ${dtype === 'bf16' ? 'all quantised' : typeNames[dtype]}; leave it out or set dtype bfloat16`,
      { param: 'activationDtype' },
    )
  return 'bf16'
}

function floatType(asked: ResolvedEngineOptions['dtype'], stored: ModelConfig['dtype']): FloatType {
  if (asked !== 'auto') return floatTypes[asked]
  return stored === 'bf16' || stored === 'f16' ? stored : 'f32'
}

interface MemoryPlan {
  readonly numBlocks: number
  readonly bytesPerBlock: number
  readonly maxModelLen: number
}

/** How many blocks to hold, and the longest sequence that always fits into them. */
function planMemory(
  model: LanguageModel,
  options: ResolvedEngineOptions,
  kvDtype: KvDtype,
  maxTokens: number | null,
): MemoryPlan {
  const { maxPositionEmbeddings, numLayers, numKvHeads, headDim } = model.config
  const { blockSize, maxNumSeqs, maxNumBatchedTokens, kvCacheMemory } = options
  if (options.maxModelLen !== undefined && options.maxModelLen > maxPositionEmbeddings)
    throw new SlipwayError(
      'request',
      `option maxModelLen: ${options.maxModelLen} is above the model's ${maxPositionEmbeddings} positions; lower it`,
      { param: 'maxModelLen' },
    )
  if (maxNumSeqs > maxNumBatchedTokens)
    throw new SlipwayError(
      'request',
      `option maxNumBatchedTokens: ${maxNumBatchedTokens} is below maxNumSeqs ${maxNumSeqs}; every running sequence needs a token per step`,
      { param: 'maxNumBatchedTokens' },
    )
  const isCausal = model.attention === 'causal'
  const wantedLen = options.maxModelLen ?? (isCausal ? maxPositionEmbeddings : (maxTokens ?? maxPositionEmbeddings))
  const bytesPerBlock = (isCausal ? numLayers : 1) * blockSize * kvBytesPerToken(numKvHeads, headDim, kvDtype)
  // places of adapters take their memory when they are first written
  const free = Math.max(0, (process.availableMemory?.() ?? freemem()) - (model.adapters?.byteLength ?? 0))
  const budget = memoryBytes(kvCacheMemory ?? defaultShare, free)
  const perSequence = Math.ceil(wantedLen / blockSize)
  // never more than every slot can fill, nor, where all ends with the step, than a step has tokens
  const perStep = Math.ceil(Math.max(maxNumBatchedTokens, wantedLen) / blockSize) + maxNumSeqs
  const most = isCausal ? perSequence * maxNumSeqs : Math.min(perSequence * maxNumSeqs, perStep)
  const numBlocks = Math.min(Math.floor(budget / bytesPerBlock), most)
  const maxModelLen = Math.min(wantedLen, numBlocks * blockSize)
  if (numBlocks === 0 || (options.maxModelLen !== undefined && maxModelLen < wantedLen))
    throw new SlipwayError(
      'request',
      `option kvCacheMemory: ${budget} bytes hold ${numBlocks * blockSize} tokens, one sequence of ${wantedLen} needs ` +
        `${perSequence * bytesPerBlock} bytes; raise it or lower maxModelLen`,
      { param: 'kvCacheMemory' },
    )
  return { numBlocks, bytesPerBlock, maxModelLen }
}
