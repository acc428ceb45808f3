export { loadModel, supportedModelTypes, type Builder } from './load.ts'
export type { LanguageModel, LogitRows, ModelBatch } from './model.ts'
export { convertFloats, quantizeGroups } from './convert.ts'
export type { Quantization, WeightOptions } from './weights.ts'
