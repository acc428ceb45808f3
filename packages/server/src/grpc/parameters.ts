import { SlipwayError } from '@slipway/tensor'
import type { z } from 'zod'
import { refusal } from '../http/errors.ts'
import { parseJson } from '../http/json-body.ts'
import type { InferParameter, InferParameters } from './messages.ts'

export type Shape = Readonly<Record<string, z.ZodType>>

/** What says where the answer goes and how, which is not told by a parameter here. */
const elsewhere: Readonly<Record<string, string>> = {
  model: 'the model is named by model_name; remove it',
  prompt: 'prompts are the input text_input or input_ids; remove it',
  input: 'texts are the input text_input or input_ids; remove it',
  messages: 'put the conversation through the chat template and send it as text_input, or ask over HTTP',
  stream: 'ModelStreamInfer streams, ModelInfer does not; remove it',
  stream_options: 'the last response of a stream tells the numbers of tokens anyway; remove it',
  echo: 'has no output over gRPC; remove it, or ask over HTTP',
  logprobs: 'has no output over gRPC; remove it, or ask over HTTP',
  prompt_logprobs: 'has no output over gRPC; remove it, or ask over HTTP',
  encoding_format: 'embeddings are FP32 here; remove it',
}

/** Triton's wish for an end that can be told from the rest: the last response is marked always. */
const inert = new Set(['triton_enable_empty_final_response'])

/** The parameters of a request as the fields of a body over HTTP; `shape` says which fields take text. */
export function bodyOf(parameters: InferParameters, shape: Shape): Record<string, unknown> {
  const entries = Object.entries(parameters)
    .filter(([name]) => !inert.has(name))
    .map(([name, parameter]): [string, unknown] => [name, valueOf(name, parameter, shape)])
  return checked(Object.fromEntries(entries))
}

/** The JSON object in `sampling_parameters`, the input of Triton's vLLM backend. */
export function bodyOfText(text: string, shape: Shape): Record<string, unknown> {
  const value = jsonOf('sampling_parameters', text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refusal('sampling_parameters: must be a JSON object', { param: 'sampling_parameters' })
  // that backend's clients write numbers as texts
  const entries = Object.entries(value).map(([name, field]): [string, unknown] => [
    name,
    typeof field === 'string' ? fromText(name, field, shape) : field,
  ])
  return checked(Object.fromEntries(entries))
}

function checked(body: Record<string, unknown>): Record<string, unknown> {
  for (const name of Object.keys(body))
    if (Object.hasOwn(elsewhere, name))
      throw refusal(`${name}: ${elsewhere[name]}`, { param: name, code: 'unsupported_parameter' })
  return body
}

function valueOf(name: string, parameter: InferParameter, shape: Shape): unknown {
  const { bool_param, int64_param, string_param, double_param, uint64_param } = parameter
  const value = bool_param ?? int64_param ?? string_param ?? double_param ?? uint64_param
  if (value === undefined) throw refusal(`${name}: has no value; set one of its fields`, { param: name })
  return typeof value === 'string' ? fromText(name, value, shape) : value
}

/**
 * Text stays text where its field takes it; else it is JSON: parameters of the protocol hold neither lists nor objects,
 * and in its older form no fractions. A field that takes both gets the list.
 */
function fromText(name: string, text: string, shape: Shape): unknown {
  const field = Object.hasOwn(shape, name) ? shape[name] : undefined
  if (!field) return text
  const fits = (value: unknown): boolean => field.safeParse(value).success
  if (/^\s*[[{]/.test(text)) {
    const value = tryJson(name, text)
    if (value !== undefined && fits(value)) return value
  }
  return fits(text) ? text : (tryJson(name, text) ?? text)
}

function tryJson(name: string, text: string): unknown {
  try {
    return jsonOf(name, text)
  } catch {
    return undefined
  }
}

function jsonOf(name: string, text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (!SlipwayError.is(error)) throw error
    throw refusal(error.message.replace(/^the body/, `${name}:`), { ...error.details, param: name })
  }
}
