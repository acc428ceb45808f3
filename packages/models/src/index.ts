export { loadModel, supportedModelTypes, type Builder } from './load.ts'
export type { LanguageModel, ModelBatch } from './model.ts'
export { convertFloats, quantizePerChannel } from './convert.ts'
export type { WeightOptions } from './weights.ts'
