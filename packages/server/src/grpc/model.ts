import { SlipwayError } from '@slipway/tensor'
import { completionSchema } from '../openai/completion-schema.ts'
import { embeddingsSchema, classifySchema } from '../pooling/schemas.ts'
import { requireModel, version, type ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import { readiness, requireReady } from '../health.ts'
import type { ModelRequest, TensorMetadata } from './messages.ts'
import type { Shape } from './parameters.ts'

/** The one version that a model has. */
export const modelVersion = '1'

/** What a model does, in terms of the protocol. */
export interface Face {
  readonly task: 'generate' | 'embed' | 'classify'
  readonly inputs: readonly TensorMetadata[]
  readonly outputs: readonly TensorMetadata[]
  /** Names of parameters and what they may be, as over HTTP. */
  readonly shape: Shape
}

const any = -1
const prompts: readonly TensorMetadata[] = [
  { name: 'text_input', datatype: 'BYTES', shape: [any] },
  { name: 'input_ids', datatype: 'INT64', shape: [any, any] },
  { name: 'input_lengths', datatype: 'INT64', shape: [any] },
]
const ofPrompt: readonly TensorMetadata[] = [
  { name: 'prompt_tokens', datatype: 'INT64', shape: [any] },
  { name: 'cached_tokens', datatype: 'INT64', shape: [any] },
]

const generating: Face = {
  task: 'generate',
  inputs: [
    ...prompts,
    { name: 'sampling_parameters', datatype: 'BYTES', shape: [1] },
    { name: 'stream', datatype: 'BOOL', shape: [1] },
  ],
  outputs: [
    { name: 'text_output', datatype: 'BYTES', shape: [any] },
    { name: 'output_ids', datatype: 'INT64', shape: [any, any] },
    { name: 'finish_reason', datatype: 'BYTES', shape: [any] },
    { name: 'completion_tokens', datatype: 'INT64', shape: [any] },
    ...ofPrompt,
    { name: 'index', datatype: 'INT64', shape: [any] },
  ],
  shape: completionSchema.shape,
}

/** The face of the model that is served. Throws `unsupported` for models that give numbers for every token. */
export function faceOf({ llm }: ServerContext): Face {
  const { pooling } = llm.info
  if (pooling === null) return generating
  const task = llm.ownTask
  const outputs = (own: readonly TensorMetadata[]) => [...own, ofPrompt[0]!]
  if (task === 'embed')
    return {
      task,
      inputs: prompts,
      outputs: outputs([{ name: 'embedding', datatype: 'FP32', shape: [any, pooling.hiddenSize] }]),
      shape: embeddingsSchema.shape,
    }
  if (task === 'classify') {
    const labels = pooling.returnedLabels?.length ?? pooling.labels.length
    return {
      task,
      inputs: prompts,
      outputs: outputs([
        { name: 'probs', datatype: 'FP32', shape: [any, labels] },
        { name: 'label', datatype: 'BYTES', shape: [any] },
      ]),
      shape: classifySchema.shape,
    }
  }
  throw refusal(`a model for ${task} has no form over gRPC; ask POST /pooling`, { code: 'task_not_supported' })
}

/** Throws for a version that does not exist. */
export function requireVersion(name: string, given: string): void {
  if (given === '' || given === modelVersion) return
  throw new SlipwayError('not-found', `the model "${name}" has no version "${given}"; it has ${modelVersion}`, {
    param: 'model_version',
    code: 'model_not_found',
  })
}

/** ServerMetadata */
export function serverMetadata() {
  return { name: 'slipway', version, extensions: ['model_stream_infer'] }
}

/** ModelReady: false while the model loads or the server ends; NOT_FOUND for names that it does not have. */
export function modelReady(context: ServerContext, { name, version: given }: ModelRequest): { ready: boolean } {
  if (readiness(context) !== 'ready') return { ready: false }
  requireModel(context, name)
  requireVersion(name, given)
  return { ready: !context.llm.isSleeping }
}

/** ModelMetadata */
export function modelMetadata(context: ServerContext, { name, version: given }: ModelRequest) {
  requireReady(context)
  requireModel(context, name)
  requireVersion(name, given)
  const { inputs, outputs } = faceOf(context)
  return { name, versions: [modelVersion], platform: 'slipway', inputs, outputs }
}
