import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openCheckpoint, writeSafetensors } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { randomIntegers } from './random.ts'

/**
 * A checkpoint like the embedded model with other widths and random bf16 weights: `intermediate` 12288 are 58 MB.
 */
export async function randomCheckpoint(directory: string, seed: number, intermediate = 576): Promise<string> {
  await mkdir(directory, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await cp(join(miniModelDirectory, file), join(directory, file))
  const config = JSON.parse(await readFile(join(miniModelDirectory, 'config.json'), 'utf8')) as {
    [key: string]: unknown
  }
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, intermediate_size: intermediate }))
  const random = randomIntegers(seed)
  // exponents of everyday weights, signs and fractions at random
  const noise = Uint16Array.from({ length: 65_521 }, () => (random(2) << 15) | (0x3c00 + random(0x180)))
  const { tensors, close } = await openCheckpoint(miniModelDirectory)
  const written = tensors.names.map((name) => {
    const shape = tensors.info(name).shape.map((n) => (n === 576 ? intermediate : n))
    const size = shape.reduce((a, b) => a * b, 1)
    const start = random(noise.length)
    const values = Uint16Array.from({ length: size }, (_, i) => noise[(start + i) % noise.length]!)
    return { name, dtype: 'bf16' as const, shape, bytes: new Uint8Array(values.buffer) }
  })
  await writeSafetensors(join(directory, 'model.safetensors'), written)
  close()
  return directory
}
