import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a program in the root with its output shown; true if it ended well. */
export function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (error) console.error(`${command}: ${error.message}`)
  return status === 0
}

/** Runs a tool of node_modules by the path of its script, without a shell. */
export function tool(script, args, env) {
  return run(process.execPath, [`node_modules/${script}`, ...args], env)
}
