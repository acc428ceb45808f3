import type { Cost } from './op.ts'
import type { Program } from './program.ts'
import type { Tensor } from './tensor.ts'

/**
 * What each step of a program that has run costs, by the declarations of its ops and the values of the resident integer
 * inputs: attention counts the keys that are there, not those that would fit.
 */
export async function costsOf({ steps }: Program): Promise<Cost[]> {
  const values = new Map<Tensor, ArrayLike<number>>()
  for (const tensor of new Set(steps.flatMap(({ inputs }) => inputs)))
    if (tensor?.dtype === 'i32' && tensor.storage) values.set(tensor, await tensor.device.read(tensor))
  return steps.map(({ op, inputs, outputs, attributes }) =>
    op.cost(
      inputs,
      outputs,
      attributes,
      inputs.map((tensor) => tensor && values.get(tensor)),
    ),
  )
}
