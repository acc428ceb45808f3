import { measureMachine, SlipwayError, type MachineSpeed } from '@slipway/tensor'
import { typeNames, placeModel } from './load-engine.ts'
import { locateModel, type ModelSource } from './locate-model.ts'
import { resolveEngineOptions, type EngineOptions } from './options.ts'
import type { LoadProgress } from './protocol.ts'
import { profileStep, type StepProfile } from './step-profile.ts'
import { openStep, type StepShape } from './open-step.ts'

export interface ProfileOptions extends EngineOptions, ModelSource {
  readonly rounds?: number
  readonly onProgress?: (progress: LoadProgress) => void
}

/** A step's profile with all that its figures depend on. */
export interface ModelProfile extends StepProfile, StepShape {
  readonly model: string
  readonly device: string
  readonly dtype: string
  readonly quantization: string | null
  readonly headQuantization: string | null
  readonly kvCacheDtype: string
  readonly blockSize: number
  readonly rounds: number
  /** What the machine can do at most, measured beside; undefined where the native kernels are not in use. */
  readonly speed: MachineSpeed | undefined
}

/** Loads a model in this thread and profiles one step of the engine. */
export async function profileModel(
  model: string,
  shape: StepShape,
  { rounds = 5, revision, cacheDir, offline, onProgress = () => {}, ...rest }: ProfileOptions = {},
): Promise<ModelProfile> {
  const options = resolveEngineOptions(rest)
  checkStep(shape, options)
  const directory = await locateModel(model, { revision, cacheDir, offline }, onProgress)
  const placed = await placeModel(directory, options, onProgress)
  const { device, dtype, kvDtype } = placed
  try {
    if (placed.purpose !== 'generate')
      throw new SlipwayError('request', `${model} is not for generation, and only that is measured here`, {
        param: 'model',
      })
    const limit = options.maxModelLen ?? placed.model.config.maxPositionEmbeddings
    if (shape.context + shape.rows > limit)
      throw new SlipwayError(
        'request',
        `a context of ${shape.context} and ${shape.rows} rows are more than the model's ${limit} positions; lower them`,
        { param: 'context' },
      )
    const speed = device.name === 'reference' ? undefined : measureMachine(options.threads)
    const { blockSize } = options
    const profile = await profileStep(device, openStep(device, placed.model, shape, { blockSize, kvDtype }), rounds)
    return {
      model,
      device: device.name,
      dtype: typeNames[dtype],
      quantization: options.quantization ?? null,
      headQuantization: options.headQuantization ?? null,
      kvCacheDtype: typeNames[kvDtype],
      blockSize,
      rounds,
      speed,
      ...shape,
      ...profile,
    }
  } finally {
    device.close()
  }
}

/** The engine would split such a step; its profile would be of something that never runs. */
function checkStep(
  { sequences, rows }: StepShape,
  { maxNumSeqs, maxNumBatchedTokens }: { maxNumSeqs: number; maxNumBatchedTokens: number },
): void {
  const refuse = (param: string, given: number, limit: number): never => {
    throw new SlipwayError('request', `option ${param}: a step of ${given} is above ${limit}; raise it`, { param })
  }
  if (sequences > maxNumSeqs) refuse('maxNumSeqs', sequences, maxNumSeqs)
  if (sequences * rows > maxNumBatchedTokens) refuse('maxNumBatchedTokens', sequences * rows, maxNumBatchedTokens)
}
