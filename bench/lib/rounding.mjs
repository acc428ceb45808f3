// @ts-check

/**
 * How our side rounds weights for `--quantization`: the layers as asked, the vocabulary matrix to 8 bits, as llama.cpp's
 * quantiser keeps it wider than the rest too.
 *
 * @param {string} quantization
 * @returns {{ quantization: any, headQuantization: any }}
 */
export function roundingOf(quantization) {
  if (quantization === 'none') return { quantization: undefined, headQuantization: undefined }
  return { quantization, headQuantization: 'wint8' }
}
