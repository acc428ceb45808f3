import { ChatTemplate, checkVocabulary, readConfig, readGenerationConfig, Tokenizer } from '@slipway/checkpoint'
import { GrammarChecker } from '@slipway/grammar'
import { defaultsFrom } from './default-params.ts'
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
