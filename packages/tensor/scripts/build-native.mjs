// Builds native/build/slipway.node: every kernel file once per instruction set, all in one addon.
// Needs a C++20 compiler and nothing else; without one it explains itself and succeeds, since the TypeScript reference
// device can stand in. Usage: node build-native.mjs [--force]
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../native/', import.meta.url))
const out = join(root, 'build')
const addon = join(out, 'slipway.node')

const shared = ['addon', 'addon-load', 'command', 'context', 'load', 'memory', 'pool', 'program', 'targets']
const kernels = [
  'table',
  'rows',
  'encoder-rows',
  'rope',
  'linear',
  'linear-tile',
  'quantized-linear',
  'quantized-tile',
  'route',
  'expert-linear',
  'quantized-expert-linear',
  'lora',
  'attention',
  'sample',
  'logits',
  'round',
]
const targetsOf = {
  x64: {
    baseline: ['-march=x86-64-v2'],
    avx2: ['-mavx2', '-mfma', '-mf16c', '-mbmi', '-mbmi2'],
    avx512: [
      '-mavx512f',
      '-mavx512bw',
      '-mavx512dq',
      '-mavx512vl',
      '-mavx512vnni',
      '-mavx2',
      '-mfma',
      '-mf16c',
      '-mbmi2',
    ],
  },
  arm64: { neon: [], 'neon-dot': ['-march=armv8.2-a+dotprod'] },
}
const targets = targetsOf[process.arch] ?? { baseline: [] }
// for machines without AVX-512: its kernels over an emulation, to test them; needs SIMDe's headers
const emulated = process.env.SLIPWAY_EMULATE === 'avx512' && targets.avx512
if (emulated)
  targets.avx512 = [`-I${root}emulated`, '-DSIMDE_NO_NATIVE', '-D__AVX512F__=1', '-mfma', '-w', '-DSLIPWAY_EMULATED']

const flags = [
  '-std=c++20',
  '-O3',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-exceptions',
  '-fno-rtti',
  // a multiply and an add are fused only where the source says so: results are defined by the source
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-Wall',
  '-Wextra',
  '-Wno-psabi',
  // gcc 12 warns about the deliberately undefined registers in its own AVX-512 headers
  '-Wno-uninitialized',
  '-Wno-maybe-uninitialized',
]

function findCompiler() {
  for (const name of [process.env.CXX, 'c++', 'clang++', 'g++'])
    if (name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name
  return undefined
}

function includeFlags() {
  const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers')
  return [`-I${headers}`, '-DNAPI_VERSION=8']
}

/** A target's name as a namespace. */
const identifier = (name) => name.replaceAll('-', '_')

/** One object file: how it is made and what would make it stale. */
function objects(compiler) {
  const has = Object.keys(targets).map((name) => `-DSLIPWAY_HAS_${identifier(name)}`)
  if (emulated) has.push('-DSLIPWAY_EMULATED')
  const one = (source, name, extra) => {
    const args = [...flags, ...extra]
    const hash = createHash('sha256')
      .update([compiler, ...args].join('\0'))
      .digest('hex')
      .slice(0, 12)
    return { source: join(root, `${source}.cc`), object: join(out, `${name}-${hash}.o`), args }
  }
  return [
    ...shared.map((source) => one(source, source, source.startsWith('addon') ? includeFlags() : has)),
    ...Object.entries(targets).flatMap(([target, machine]) =>
      kernels.map((source) =>
        one(source, `${source}-${target}`, [
          ...machine,
          `-DSLIPWAY_TARGET=${identifier(target)}`,
          `-DSLIPWAY_ISA=${target}`,
        ]),
      ),
    ),
  ]
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)

function execute(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === 0))
  })
}

/** Runs the jobs on all cores; false as soon as one fails. */
async function inParallel(jobs, work) {
  const queue = [...jobs]
  let ok = true
  const worker = async () => {
    for (let job = queue.shift(); job && ok; job = queue.shift()) ok = (await work(job)) && ok
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return ok
}

async function build() {
  const compiler = findCompiler()
  if (!compiler) {
    const remedy = process.platform === 'darwin' ? 'xcode-select --install' : 'apt install g++ (or set CXX)'
    console.log(
      `No C++ compiler found, so the slow TypeScript reference device is used; to mend: ${remedy}, then build again.`,
    )
    return 0
  }
  mkdirSync(out, { recursive: true })
  const all = objects(compiler)
  const headers = [root, ...(emulated ? [join(root, 'emulated')] : [])].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.h'))
      .map((name) => join(folder, name)),
  )
  const newestHeader = Math.max(...headers.map(modified))
  const force = process.argv.includes('--force')
  const stale = all.filter(({ source, object }) => force || modified(object) < Math.max(modified(source), newestHeader))
  const linkArgs = [
    '-shared',
    ...all.map(({ object }) => object),
    ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : ['-pthread']),
  ]
  const linked = join(out, 'linked-with')
  const linkKey = [compiler, ...linkArgs].join('\n')
  if (stale.length === 0 && existsSync(addon) && existsSync(linked) && readFileSync(linked, 'utf8') === linkKey)
    return 0

  const start = performance.now()
  // files are replaced, never written into: a running process may have the old addon mapped, another build may be at work
  const make = async (target, args) => {
    const fresh = `${target}.${process.pid}`
    const ok = await execute(compiler, [...args, '-o', fresh])
    if (ok) renameSync(fresh, target)
    return ok
  }
  const compiled = await inParallel(stale, ({ source, object, args }) => make(object, [...args, '-c', source]))
  if (!compiled || !(await make(addon, linkArgs))) {
    console.error('The native kernels did not build; the errors above are from the C++ compiler.')
    return 1
  }
  // a missing symbol shows itself only now; loaded here, since a Node under an emulator starts no other Node
  try {
    createRequire(import.meta.url)(addon)
  } catch (error) {
    console.error(`The native kernels do not load: ${error.message}`)
    return 1
  }
  writeFileSync(linked, linkKey)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`native: ${stale.length} files compiled for ${Object.keys(targets).join(', ')} in ${seconds} s`)
  return 0
}

process.exitCode = await build()
