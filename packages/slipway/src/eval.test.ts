import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

// A program that is given as a text has flags that its threads must not take over.

const run = promisify(execFile)

test.each([[['--input-type=module']], [['--input-type', 'module']]])('node %j -e', async (flags) => {
  const index = new URL('index.js', import.meta.url).href
  const program = `
    const { LLM, miniModelDirectory } = await import(${JSON.stringify(index)})
    const llm = await LLM.load(miniModelDirectory)
    const { outputs } = await llm.generate('One or two?', { structuredOutputs: { choice: ['one', 'two'] } })
    console.log(outputs[0].text)
    await llm.close()`
  const { stdout, stderr } = await run(process.execPath, [...flags, '-e', program])
  expect(stderr).toBe('')
  expect(['one\n', 'two\n']).toContain(stdout)
})
