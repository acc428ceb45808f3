import { refusal } from '../http/errors.ts'
import type { GivenPrompt } from '../openai/prompts.ts'
import { readInputs, textOf, type GivenTensor } from './input-tensors.ts'
import type { ModelInferRequest } from './messages.ts'
import type { Face } from './model.ts'
import { checkOutputs } from './output-tensors.ts'
import { bodyOf, bodyOfText } from './parameters.ts'

/** A request for inference that was read: prompts, and the parameters as fields of a body over HTTP. */
export interface InferenceRequest {
  readonly prompts: readonly GivenPrompt[]
  /** The input that they came in. */
  readonly promptName: 'text_input' | 'input_ids'
  readonly fields: Readonly<Record<string, unknown>>
  /** The input `stream`, if it is there. */
  readonly stream: boolean | undefined
}

/** INT64 as metadata tells; INT32 holds token ids as well. */
const integers = ['INT64', 'INT32']

export function readRequest(request: ModelInferRequest, { inputs, outputs, shape }: Face): InferenceRequest {
  const accepted = Object.fromEntries(
    inputs.map(({ name, datatype }) => [name, datatype === 'INT64' ? integers : [datatype]]),
  )
  const given = readInputs(request, accepted)
  checkOutputs(
    request,
    outputs.map(({ name }) => name),
  )
  const [texts, ids] = [given.get('text_input'), given.get('input_ids')]
  if (!texts && !ids) throw missing('text_input: is required, or input_ids')
  if (texts && ids) throw refusal('input_ids: give text_input or input_ids, not both', { param: 'input_ids' })
  const lengths = given.get('input_lengths')
  if (lengths && !ids) throw refusal('input_lengths: needs input_ids', { param: 'input_lengths' })
  const sampling = given.get('sampling_parameters')
  return {
    prompts: ids ? rowsOf(ids, lengths) : textsOf(texts!),
    promptName: ids ? 'input_ids' : 'text_input',
    fields: {
      ...(sampling && bodyOfText(textOf(single(sampling), sampling.name), shape)),
      ...bodyOf(request.parameters, shape),
    },
    stream: given.has('stream') ? (single(given.get('stream')!) as boolean) : undefined,
  }
}

function missing(message: string) {
  return refusal(message, { param: 'text_input', code: 'missing_required_parameter' })
}

function single({ name, values }: GivenTensor) {
  if (values.length === 1) return values[0]!
  throw refusal(`${name}: must have one element, not ${values.length}`, { param: name })
}

function textsOf({ name, shape, values }: GivenTensor): string[] {
  if (shape.length > 2 || (shape[1] ?? 1) !== 1)
    throw refusal(`${name}: must have the shape [n] or [n, 1], not [${shape.join(', ')}]`, { param: name })
  if (values.length === 0) throw missing('text_input: must hold at least one text')
  return values.map((value) => textOf(value, name))
}

/** The rows of a matrix of token ids, each as long as `lengths` says. */
function rowsOf({ name, shape, values }: GivenTensor, lengths: GivenTensor | undefined): number[][] {
  if (shape.length === 0 || shape.length > 2 || values.length === 0)
    throw refusal(`${name}: must have the shape [n, tokens] or [tokens], none of them 0, not [${shape.join(', ')}]`, {
      param: name,
    })
  const cols = shape.at(-1)!
  const rows = values.length / cols
  if (lengths && lengths.values.length !== rows)
    throw refusal(`input_lengths: has ${lengths.values.length} elements for ${rows} rows of input_ids`, {
      param: 'input_lengths',
    })
  return Array.from({ length: rows }, (_, row) => {
    const length = (lengths?.values[row] ?? cols) as number
    if (length < 1 || length > cols)
      throw refusal(`input_lengths: must be from 1 to ${cols}, the columns of input_ids, not ${length}`, {
        param: 'input_lengths',
      })
    return values.slice(row * cols, row * cols + length) as number[]
  })
}
