import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { z } from 'zod'
import { servedNames, type ServerContext } from './context.ts'
import { refusal } from './http/errors.ts'
import { readJson } from './http/json-body.ts'
import type { ServerEnv } from './http/request-id.ts'
import { modelCard } from './openai/models.ts'
import { parseRequest } from './openai/parse.ts'

const name = z.string().min(1).max(256)
const loadSchema = z.strictObject({ lora_name: name, lora_path: z.string().min(1).max(4096) })
const unloadSchema = z.strictObject({ lora_name: name })

/** POST /v1/load_lora_adapter, as at vLLM: a folder on the server's machine becomes a model that requests can name. */
export async function postLoadLora(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { lora_name, lora_path } = parseRequest(loadSchema, await readAdapterRequest(c, context))
  if (servedNames(context).includes(lora_name))
    throw refusal(`lora_name: "${lora_name}" is the name of the model itself; take another`, { param: 'lora_name' })
  await context.llm.loadLora(lora_name, lora_path).catch((error: unknown) => {
    // the files are the client's affair here, not ours
    const isTheirs = SlipwayError.is(error) && (error.kind === 'checkpoint' || error.kind === 'unsupported')
    throw isTheirs ? refusal(error.message, { param: 'lora_path' }) : error
  })
  return c.json(modelCard(context, lora_name))
}

/** POST /v1/unload_lora_adapter: requests under way go on to their end. */
export async function postUnloadLora(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { lora_name } = parseRequest(unloadSchema, await readAdapterRequest(c, context))
  await context.llm.unloadLora(lora_name)
  return c.json({ id: lora_name, object: 'model', deleted: true })
}

/** Whoever loads adapters has the server read folders, and changes what others get: the operator has to allow it. */
function readAdapterRequest(c: Context<ServerEnv>, { options }: ServerContext): Promise<unknown> {
  if (!options.runtimeLora)
    throw refusal('this server does not let clients load adapters; start it with --runtime-lora', {
      status: 403,
      code: 'runtime_lora_disabled',
    })
  return readJson(c, options.maxBodyBytes)
}
