import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { adapterConfigFile } from './adapter-config.ts'
import { readJsonObject } from './json-file.ts'
import { openLoraAdapter, type LoraAdapter } from './lora-adapter.ts'
import { openPaddlePrefix, openPeftPrefix, paddleConfigFile, type PrefixAdapter } from './prefix-adapter.ts'

/** Opens an adapter of whichever kind: PEFT's LoRA and prefix tuning, PaddleNLP's prefix tuning. */
export async function openAdapter(directory: string): Promise<LoraAdapter | PrefixAdapter> {
  const json = await readJsonObject(join(directory, adapterConfigFile))
  if (json?.['peft_type'] === 'PREFIX_TUNING') return openPeftPrefix(directory)
  if (!json && existsSync(join(directory, paddleConfigFile))) return openPaddlePrefix(directory)
  return openLoraAdapter(directory)
}
