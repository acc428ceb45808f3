import type { Context } from 'hono'
import { requireModel, type ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { toTemplateMessage } from '../openai/messages.ts'
import { parseRequest } from '../openai/parse.ts'
import { requireFits } from '../openai/prompt-limit.ts'
import { toTool } from '../openai/tools.ts'
import { detokenizeSchema, tokenizeSchema, type TokenizeRequest } from './schemas.ts'

/** POST /tokenize: the ids of a text, or of a conversation as the chat template writes it. */
export async function postTokenize(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { llm, options } = context
  const request = parseRequest(tokenizeSchema, await readJson(c, options.maxBodyBytes))
  if (request.model !== undefined) requireModel(context, request.model)
  const isChat = request.messages !== undefined
  const tokens = llm.tokenizer.encode(textOf(context, request), {
    // a chat template writes the special tokens itself
    addSpecialTokens: request.add_special_tokens ?? !isChat,
  })
  return c.json({
    count: tokens.length,
    max_model_len: llm.info.maxModelLen,
    tokens,
    token_strs: request.return_token_strs ? tokens.map((id) => llm.tokenizer.idToToken(id)!) : null,
  })
}

function textOf(context: ServerContext, request: TokenizeRequest): string {
  const { prompt, messages, tools = [], chat_template_kwargs: extra, add_generation_prompt } = request
  if (prompt !== undefined) requireFits(context, [prompt], 'prompt')
  if (prompt !== undefined) return prompt
  const chatTools = tools.map(toTool)
  requireFits(context, [...messages!, ...chatTools, ...Object.values(extra ?? {})], 'messages')
  return context.llm.chatTemplate.render(messages!.map(toTemplateMessage), {
    addGenerationPrompt: add_generation_prompt ?? true,
    tools: chatTools,
    extra,
  })
}

/** POST /detokenize: the text of ids, special tokens included, so that what was tokenized comes back. */
export async function postDetokenize(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { llm, options } = context
  const { model, tokens } = parseRequest(detokenizeSchema, await readJson(c, options.maxBodyBytes))
  if (model !== undefined) requireModel(context, model)
  const { maxModelLen } = llm.info
  if (tokens.length > maxModelLen)
    throw refusal(`tokens: ${tokens.length} are more than the ${maxModelLen} of this model; send fewer`, {
      param: 'tokens',
      code: 'context_length_exceeded',
    })
  const { vocabSize } = llm.tokenizer
  const bad = tokens.findIndex((id) => id < 0 || id >= vocabSize)
  if (bad >= 0)
    throw refusal(`tokens[${bad}]: ${tokens[bad]} is outside the vocabulary of ${vocabSize}`, {
      param: `tokens[${bad}]`,
      code: 'invalid_value',
    })
  return c.json({ prompt: llm.tokenizer.decode(tokens, { skipSpecialTokens: false }) })
}
