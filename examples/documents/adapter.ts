import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Writes a LoRA adapter for a model, in PEFT's form: rank 2, on the queries of all layers. */
export async function writeAdapter(directory: string, model: string, scale: number): Promise<string> {
  const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8')) as Record<string, number>
  const hidden = config['hidden_size']!
  const outputs = config['num_attention_heads']! * config['head_dim']!
  const layers = Array.from({ length: config['num_hidden_layers']! }, (_, i) => i)
  const tensors = layers.flatMap((layer) => {
    const name = `base_model.model.model.layers.${layer}.self_attn.q_proj`
    return [
      { name: `${name}.lora_A.weight`, shape: [2, hidden] },
      { name: `${name}.lora_B.weight`, shape: [outputs, 2] },
    ]
  })
  let at = 0
  const data: Buffer[] = []
  const header: Record<string, unknown> = {}
  for (const { name, shape } of tensors) {
    const values = Float32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => scale * Math.sin(i + at))
    const bytes = Buffer.from(values.buffer)
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes.length] }
    at += bytes.length
    data.push(bytes)
  }
  const head = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(head.length))
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'adapter_model.safetensors'), Buffer.concat([length, head, ...data]))
  const adapter = { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj'] }
  await writeFile(join(directory, 'adapter_config.json'), JSON.stringify(adapter))
  return directory
}
