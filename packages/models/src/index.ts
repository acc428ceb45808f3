export { loadModel, supportedModelTypes, type Builder, type LoadModelOptions } from './load.ts'
export type { LoraOptions, LoraTables } from './lora-table.ts'
export type { Head, LanguageModel, LogitRows, ModelBatch, Purpose } from './model.ts'
export type { Quantization, WeightOptions } from './weights.ts'
