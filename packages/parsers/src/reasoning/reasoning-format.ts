/** How a model writes its reasoning before the answer. */
export interface ReasoningFormat {
  readonly start: string
  readonly end: string
  /**
   * The output begins inside the reasoning unless the prompt says otherwise: for models whose start tag was part of the
   * prompt in training.
   */
  readonly isImplicit?: boolean
  /** Tags around the answer, which are markup too. */
  readonly answer?: { readonly start: string; readonly end: string }
}

const think = { start: '<think>', end: '</think>' }

export const reasoningFormats: Readonly<Record<string, ReasoningFormat>> = {
  qwen3: think,
  'deepseek-r1': { ...think, isImplicit: true },
  // whether it thinks stands at the end of its prompt
  'deepseek-v3.1': think,
  'ernie-45-vl-thinking': { ...think, isImplicit: true },
  'ernie-x1': { ...think, isImplicit: true, answer: { start: '<response>', end: '</response>' } },
}

/** Whether a prompt, given by its last characters, leaves the reasoning open; undefined where it does not say. */
export function endsInThinking({ start, end, answer }: ReasoningFormat, prompt: string): boolean | undefined {
  const text = prompt.trimEnd()
  if (text.endsWith(start)) return true
  return text.endsWith(end) || (answer && text.endsWith(answer.start)) ? false : undefined
}
