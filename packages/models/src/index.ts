export { loadModel, supportedModelTypes, type Builder, type LoadModelOptions } from './load.ts'
export type { LoraOptions, LoraTables } from './lora-table.ts'
export type { LanguageModel, LogitRows, ModelBatch } from './model.ts'
export type { Quantization, WeightOptions } from './weights.ts'
