import type { LLM, StructuredOutputs } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { z } from 'zod'
import { refusal } from '../http/errors.ts'
import { arrayOf } from './array-of.ts'

const object = z.record(z.string(), z.unknown())
const schema = z.union([z.boolean(), object, z.string()], { error: 'must be a JSON schema' })
const tag = z.union([object, z.string()], { error: 'must be a structural tag' })

/** Parameters that constrain the text: OpenAI's `response_format`, and those of vLLM, old (`guided_...`) and new. */
export const structuredFields = {
  response_format: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('text') }),
      z.strictObject({ type: z.literal('json_object') }),
      z.strictObject({
        type: z.literal('json_schema'),
        json_schema: z.strictObject({
          name: z.string(),
          description: z.string().nullish(),
          schema: object.optional(),
          strict: z.boolean().nullish(),
        }),
      }),
      z.looseObject({ type: z.literal('structural_tag') }),
    ])
    .optional(),
  guided_json: schema.optional(),
  guided_regex: z.string().optional(),
  guided_choice: arrayOf(z.string()).optional(),
  guided_grammar: z.string().optional(),
  structural_tag: tag.optional(),
  structured_outputs: z
    .strictObject({
      json: schema.optional(),
      json_object: z.boolean().optional(),
      regex: z.string().optional(),
      choice: arrayOf(z.string()).optional(),
      grammar: z.string().optional(),
      structural_tag: tag.optional(),
      disable_any_whitespace: z.boolean().optional(),
    })
    .optional(),
}

type Body = { readonly [K in keyof typeof structuredFields]?: z.output<(typeof structuredFields)[K]> }

/** The engine's parameter for a body, tried out, so that a fault is an answer and not an event of a stream. */
export async function structuredParams(llm: LLM, body: Body): Promise<{ structuredOutputs?: StructuredOutputs }> {
  const [asked, other] = constraintsOf(body)
  if (!asked) return {}
  if (other)
    throw refusal(`${other.param}: cannot be combined with ${asked.param}; give one of them`, { param: other.param })
  try {
    await llm.prepare({ structuredOutputs: asked.spec })
  } catch (error) {
    if (!SlipwayError.is(error) || error.kind !== 'request') throw error
    throw refusal(`${asked.param}: ${error.message.replace(/^structuredOutputs: /, '')}`, {
      ...error.details,
      param: asked.param,
    })
  }
  return { structuredOutputs: asked.spec }
}

function constraintsOf(body: Body): { param: string; spec: StructuredOutputs }[] {
  const { response_format: format, structured_outputs: outputs } = body
  const found: { param: string; spec: StructuredOutputs }[] = []
  const add = (param: string, spec: StructuredOutputs): void => void found.push({ param, spec })
  if (format?.type === 'json_object') add('response_format', { jsonObject: true })
  else if (format?.type === 'json_schema') {
    const { schema: json } = format.json_schema
    add('response_format', json ? { json } : { jsonObject: true })
  } else if (format?.type === 'structural_tag') add('response_format', { structuralTag: format })
  if (body.guided_json !== undefined) add('guided_json', { json: body.guided_json })
  if (body.guided_regex !== undefined) add('guided_regex', { regex: body.guided_regex })
  if (body.guided_choice !== undefined) add('guided_choice', { choice: body.guided_choice })
  if (body.guided_grammar !== undefined) add('guided_grammar', { grammar: body.guided_grammar })
  if (body.structural_tag !== undefined) add('structural_tag', { structuralTag: body.structural_tag })
  if (outputs) {
    const { json_object: jsonObject, structural_tag: structuralTag, disable_any_whitespace, ...same } = outputs
    add('structured_outputs', { ...same, jsonObject, structuralTag, disableAnyWhitespace: disable_any_whitespace })
  }
  return found
}
