import {
  ChatTemplate,
  checkVocabulary,
  readConfig,
  readGenerationConfig,
  Tokenizer,
  type GenerationConfig,
} from '@slipway/checkpoint'
import { GrammarChecker } from '@slipway/grammar'
import { endIds, grammarSetup } from './grammar-setup.ts'
import type { SamplingParams } from './sampling-params.ts'

/** What the thread that talks with users needs of a model: text to tokens and back. */
export interface Front {
  readonly tokenizer: Tokenizer
  readonly chatTemplate: ChatTemplate
  readonly defaultParams: SamplingParams
  readonly grammars: GrammarChecker
}

/** Reads it from a checkpoint; `templateFile` is in place of the model's own chat template. */
export async function loadFront(directory: string, templateFile: string | undefined): Promise<Front> {
  const tokenizer = await Tokenizer.load(directory)
  const config = await readConfig(directory)
  checkVocabulary(tokenizer, config)
  const chatTemplate = await ChatTemplate.load(directory, { templateFile })
  const generationConfig = await readGenerationConfig(directory)
  // starts its thread when it is first needed
  const grammars = new GrammarChecker(grammarSetup(directory, config.vocabSize, endIds(config, generationConfig)))
  return { tokenizer, chatTemplate, defaultParams: defaultsFrom(generationConfig), grammars }
}

function defaultsFrom(config: GenerationConfig): SamplingParams {
  // `do_sample: false` is how a checkpoint says greedy
  const temperature = config.doSample === false ? 0 : config.temperature
  const { topK, topP, minP, repetitionPenalty } = config
  return Object.fromEntries(
    Object.entries({ temperature, topK, topP, minP, repetitionPenalty }).filter(([, value]) => value !== undefined),
  )
}
