import type { GenerationConfig, ModelConfig } from '@slipway/checkpoint'
import type { GrammarSetup } from '@slipway/grammar'

/** Tokens that end a text, by both files that say so. */
export function endIds(config: ModelConfig, generationConfig: GenerationConfig): number[] {
  return [...new Set([...config.eosTokenIds, ...generationConfig.eosTokenIds])]
}

/** What the threads that compile grammars need to know. */
export function grammarSetup(directory: string, vocabSize: number, stopIds: readonly number[]): GrammarSetup {
  return { directory, vocabSize, stopIds, memoryBytes: 512 * 1024 ** 2, maxGrammars: 64 }
}
