// Tokens as they are made, and a stop in the middle: node examples/dist/streaming-chat.js [model]
import { LLM, miniModelDirectory } from 'slipway'

const llm = await LLM.load(process.argv[2] ?? miniModelDirectory)
const messages = [{ role: 'user', content: 'Hello! Who are you?' }]

for await (const event of llm.chat(messages, { temperature: 0, maxTokens: 64 }, { stream: true })) {
  if (event.type === 'delta') process.stdout.write(event.text)
  if (event.type === 'finish') console.log(`\n[ended: ${event.finishReason}]`)
}

// an AbortSignal works at any moment; the stream then ends with finishReason "abort"
const controller = new AbortController()
const stream = llm.generate(
  'one two three',
  { maxTokens: 500, ignoreEos: true },
  { stream: true, signal: controller.signal },
)
let received = 0
for await (const event of stream) {
  if (event.type === 'delta' && ++received === 5) controller.abort()
  if (event.type === 'finish') console.log(`[ended: ${event.finishReason} after ${received} pieces]`)
}

await llm.close()
