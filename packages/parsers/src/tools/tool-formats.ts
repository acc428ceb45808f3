import { commonEnvelope, envelopeCall, type EnvelopeForm } from './envelope-call.ts'
import { eitherCall, type NewCallBody } from './call-body.ts'
import { inTags, jsonCall, type CallForm } from './call-form.ts'
import { namedCall } from './named-call.ts'
import { taggedCall } from './tagged-call.ts'
import { mistralId, toolFormat, type ToolFormat } from './tool-format.ts'
import type { CallSyntax } from './tool-parser.ts'

/** A call as JSON between two tags: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. */
export function jsonInTags(
  open: string,
  close: string | undefined,
  envelope: EnvelopeForm = commonEnvelope,
  form?: CallForm,
): CallSyntax {
  const call = envelopeCall(envelope)
  const written = inTags(`${open}\n`, close === undefined ? '' : `\n${close}`)
  return {
    opens: { [open]: call },
    closes: close === undefined ? [] : [close],
    next: call,
    glue: ',;]}',
    form: form ?? { ...written, call: jsonCall(envelope) },
  }
}

/** JSON without tags, several calls with `;` between them; `<|python_tag|>` may stand before it. */
export function bareJson(envelope: EnvelopeForm = commonEnvelope, form?: CallForm): CallSyntax {
  const bare = envelopeCall({ ...envelope, isBare: true })
  return {
    opens: { '<|python_tag|>': envelopeCall(envelope) },
    bare,
    next: bare,
    glue: ',;',
    form: form ?? { open: '', between: '; ', close: '', call: jsonCall(envelope) },
  }
}

const hermes = jsonInTags('<tool_call>', '</tool_call>')

const sep = { text: '<｜tool▁sep｜>' }

/** @param call what stands between the tags of one call; `written` tells how */
function deepseek(call: NewCallBody, glue: string, between: string, written: CallForm['call']): CallSyntax {
  const [beforeName, beforeArguments, end] = written
  return {
    form: {
      open: '<｜tool▁calls▁begin｜>',
      between,
      close: '<｜tool▁calls▁end｜>',
      call: [`<｜tool▁call▁begin｜>${beforeName}`, beforeArguments, `${end}<｜tool▁call▁end｜>`],
    },
    opens: { '<｜tool▁call▁begin｜>': call },
    closes: ['<｜tool▁call▁end｜>'],
    frames: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
    glue,
  }
}

const functionTag = { text: '<function=' }
const coderForm = {
  key: ['<parameter=', '>'],
  value: ['', '</parameter>'],
  end: '</function>',
  blockEnd: '</tool_call>',
  hasLines: true,
} as const

const coder: CallSyntax = {
  opens: {
    '<tool_call>': taggedCall({ ...coderForm, header: [functionTag, 'name', { text: '>' }] }),
    // the tag around it is often forgotten
    [functionTag.text]: taggedCall({ ...coderForm, header: ['name', { text: '>' }] }),
  },
  closes: ['</tool_call>'],
  inner: ['</function>'],
  form: {
    ...inTags('<tool_call>\n', '\n</tool_call>'),
    call: ['<function=', '>\n', '</function>'],
    tags: {
      key: ['<parameter=', '>\n'],
      value: ['', '\n</parameter>\n'],
      never: ['</parameter>', '<parameter=', '</function>'],
    },
  },
}

const glm: CallSyntax = {
  opens: {
    '<tool_call>': taggedCall({
      header: ['name'],
      key: ['<arg_key>', '</arg_key>'],
      value: ['<arg_value>', '</arg_value>'],
      end: undefined,
      blockEnd: '</tool_call>',
      hasLines: false,
    }),
  },
  closes: ['</tool_call>'],
  form: {
    ...inTags('<tool_call>', '</tool_call>'),
    call: ['', '\n', ''],
    tags: {
      key: ['<arg_key>', '</arg_key>\n'],
      value: ['<arg_value>', '</arg_value>\n'],
      never: ['</arg_value>'],
    },
  },
}

/** Since version 11 a name and its arguments, before it a list of JSON objects. */
const mistralCall = eitherCall(
  '[{',
  envelopeCall(),
  namedCall(['name', { text: '[CALL_ID]', isOptional: true, hasWord: true }, { text: '[ARGS]', isOptional: true }]),
)

const mistral: CallSyntax = {
  opens: { '[TOOL_CALLS]': mistralCall },
  next: envelopeCall(),
  glue: ',]',
  form: { open: '[TOOL_CALLS] [', between: ', ', close: ']', call: jsonCall(commonEnvelope) },
}

/** The newer form of Mistral's models, read by the same parser. */
export const mistralNames: ToolFormat = toolFormat(
  { ...mistral, form: { open: '', between: '', close: '', call: ['[TOOL_CALLS]', '[ARGS]', ''] } },
  mistralId,
)

export const toolFormats: Readonly<Record<string, ToolFormat>> = {
  hermes: toolFormat(hermes),
  qwen: toolFormat(hermes),
  'qwen3-coder': toolFormat(coder),
  'deepseek-v3': toolFormat(
    deepseek(namedCall(['word', sep, 'name', { text: '```json', isOptional: true }]), '`', '\n', [
      `function${sep.text}`,
      '\n```json\n',
      '\n```',
    ]),
  ),
  'deepseek-v3.1': toolFormat(deepseek(namedCall(['name', sep]), '', '', ['', sep.text, ''])),
  'ernie-x1': toolFormat(hermes),
  'ernie-45-vl-thinking': toolFormat({ ...hermes, isFirstOnly: true }),
  'llama3-json': toolFormat(bareJson({ ...commonEnvelope, argumentsKeys: ['parameters', 'arguments'] })),
  mistral: toolFormat(mistral, mistralId),
  'glm-4.5': toolFormat(glm),
}
