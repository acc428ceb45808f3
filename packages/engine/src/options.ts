import { SlipwayError } from '@slipway/tensor'
import { classActivations, poolingTypes } from '@slipway/checkpoint'
import { z } from 'zod'

const count = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)
const floatTypes = ['auto', 'float32', 'bfloat16', 'float16'] as const

/** When an answer that repeats itself ends: FastDeploy's strategy "repetition", with its defaults. */
export const earlyStopSchema = z.strictObject({
  windowSize: count.default(3000).describe('end an answer that repeats itself: so many sure tokens in a row'),
  threshold: z.number().min(0).max(1).default(0.99).describe('probability above which a token is sure'),
})

/** Engine settings, named as vLLM and FastDeploy name them; the command line derives its flags from this. */
export const engineOptionsSchema = z.strictObject({
  device: z
    .enum(['auto', 'cpu', 'reference'])
    .default('auto')
    .describe('auto takes the C++ kernels when they are built'),
  dtype: z.enum(floatTypes).default('auto').describe('type in which weights are kept; auto: as in the checkpoint'),
  activationDtype: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe(
      'what rows are rounded to before they meet bfloat16 weights; bfloat16 is faster on processors with AVX512_BF16',
    ),
  quantization: z
    .enum(['wint8', 'wint4'])
    .optional()
    .describe('quantise the linear layers while loading: int8 per output, or int4 in groups of 128'),
  headQuantization: z
    .enum(['wint8', 'wint4'])
    .optional()
    .describe('quantise the vocabulary matrix too; without it, it keeps its dtype'),
  kvCacheDtype: z
    .enum([...floatTypes, 'int8'])
    .default('auto')
    .describe('type of cached keys and values; auto: that of the weights; int8 has a scale per token and head'),
  task: z
    .enum(['auto', 'generate', 'embed', 'classify'])
    .default('auto')
    .describe('what the model is for; auto: as its class and files say'),
  pooling: z
    .strictObject({
      type: z.enum(poolingTypes).optional().describe('whose states a text comes to; default: as the model says'),
      normalize: z.boolean().optional().describe('bring embeddings to length 1; default: as the model says'),
      activation: z.enum(classActivations).optional().describe('of classes; default: as the model says'),
      stepTagId: z.int().min(0).optional().describe('token behind which the score of a step stands'),
      returnedTokenIds: z
        .array(z.int().min(0))
        .min(1)
        .optional()
        .describe('classes that are given back, by index')
        .meta({ variadic: true, plural: true }),
      classTokens: z
        .array(z.string().min(1))
        .min(2)
        .optional()
        .describe('texts whose logits are the classes of a generating model, such as no and yes of Qwen3-Reranker')
        .meta({ variadic: true, plural: true }),
    })
    .optional(),
  maxModelLen: count.optional().describe('longest prompt and answer together, in tokens'),
  maxNumSeqs: count.default(64).describe('most sequences in one step'),
  maxNumBatchedTokens: count.default(512).describe('most tokens in one step; longer prompts are split'),
  blockSize: z.int().min(1).max(4096).default(64).describe('tokens per KV block'),
  kvCacheMemory: z
    .union([z.number().positive(), z.string()])
    .optional()
    .describe('memory for keys and values: bytes (2147483648, 2GB, 512MiB) or a share of free memory (0.3)'),
  packedCache: z
    .boolean()
    .default(true)
    .describe('keep weights as packed for the kernels on disk, so that the next start just reads them'),
  packedCacheLimit: z
    .union([z.number().positive(), z.string()])
    .default('32GiB')
    .describe('size of all packed weights on disk; beyond it those used longest ago are removed'),
  threads: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe('kernel threads; default: one per core that the process, or its container, may use'),
  pinThreads: z
    .boolean()
    .default(false)
    .describe('keep every kernel thread on a core of its own, for machines that do nothing else (Linux)'),
  prefixCaching: z
    .boolean()
    .default(true)
    .describe('keep computed blocks, and find them again for texts that begin alike'),
  kvDiskCache: z
    .strictObject({
      directory: z.string().min(1).describe('folder for keys and values that outlive the process'),
      bytes: z.union([z.number().positive(), z.string()]).default('10GB').describe('most that they take on disk'),
    })
    .optional(),
  kvHostCacheBytes: z
    .union([z.number().positive(), z.string()])
    .optional()
    .describe('host memory for keys and values that had to leave the KV cache (bytes, or 8GB); default: none'),
  stepBudgetMs: z
    .number()
    .positive()
    .optional()
    .describe(
      'estimated time of a step in which answers go on; default: less than twice what it takes without prompts',
    ),
  enableLora: z.boolean().default(false).describe('make room for LoRA adapters, which can be loaded at any time'),
  maxLoras: z.int().min(1).max(4096).default(8).describe('LoRA adapters in memory at one time, and so in one step'),
  maxLoraRank: z
    .int()
    .min(1)
    .max(1024)
    .default(16)
    .describe('highest rank of a LoRA adapter; each place has room for it'),
  logitsProcessors: z
    .array(z.string().min(1))
    .optional()
    .describe('modules that change logits, for requests that name them; see LogitsProcessorPlugin')
    .meta({ variadic: true, plural: true }),
  earlyStopConfig: earlyStopSchema.optional(),
  maxWaitingRequests: count.default(1024).describe('requests that may queue before new ones are refused'),
  maxWaitingPerUser: count
    .optional()
    .describe('requests that may queue on behalf of one user before more of them are refused; default: half of all'),
})

export type EngineOptions = z.input<typeof engineOptionsSchema>
export type ResolvedEngineOptions = z.output<typeof engineOptionsSchema>

export function resolveEngineOptions(options: EngineOptions): ResolvedEngineOptions {
  return parseOptions(engineOptionsSchema, options)
}

/** Options with their defaults; a `request` error names the first one at fault, as the `noun` that it is. */
export function parseOptions<S extends z.ZodType>(schema: S, options: unknown, noun = 'option'): z.output<S> {
  const parsed = schema.safeParse(options)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const name = issue.path.join('.') || ('keys' in issue ? issue.keys.join(', ') : 'options')
  throw new SlipwayError('request', `${noun} ${name}: ${issue.message}`, { param: name })
}
