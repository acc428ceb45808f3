// The official client against our server, both in one program: node examples/dist/openai-client.js [model]
import OpenAI from 'openai'
import { LLM, miniModelDirectory, serve } from 'slipway'

const llm = LLM.start(process.argv[2] ?? miniModelDirectory)
const server = await serve(llm, { host: '127.0.0.1', port: 0, servedModelNames: ['mini'] })
await llm.ready

const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' })
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'What is 3 + 4?' }]

const answer = await client.chat.completions.create({ model: 'mini', messages, temperature: 0, max_tokens: 48 })
console.log(answer.choices[0]!.message.content, answer.usage)

const stream = await client.chat.completions.create({
  model: 'mini',
  messages,
  temperature: 0,
  max_tokens: 48,
  stream: true,
})
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '')
console.log()

await server.close()
await llm.close()
