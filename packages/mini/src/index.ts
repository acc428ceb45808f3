import { fileURLToPath } from 'node:url'

/** Directory of the embedded default model, in Hugging Face checkpoint form. */
export const miniModelDirectory: string = fileURLToPath(new URL('../model', import.meta.url))
