// Many prompts at once, without a server: node examples/dist/offline-batch.js [model]
import { LLM, miniModelDirectory } from 'slipway'

const llm = await LLM.load(process.argv[2] ?? miniModelDirectory)

const questions = ['What is 3 + 4?', 'What is 12 + 5?', 'What is 9 - 6?', 'Say hello!']
const conversations = questions.map((content) => [{ role: 'user', content }])

// all of them run together; results come back in order
const results = await llm.chat(conversations, { temperature: 0, maxTokens: 128 })
for (const [i, { outputs, usage }] of results.entries()) {
  // a model that thinks first says its answer after that
  const answer = outputs[0]!.text.split('</think>').at(-1)!.trim()
  console.log(`${questions[i]} -> ${answer} (${usage.completionTokens} tokens)`)
}

await llm.close()
