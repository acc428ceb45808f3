// Puts what a start needs into few files: Node takes half a millisecond for every module that it finds, reads and links,
// and a model's process has 300 in its first thread and 170 in the engine's. Made of what tsc made; unminified, so that
// stack traces stay readable. Nothing is done unless something has changed since the last time.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const packages = fileURLToPath(new URL('../..', import.meta.url))
const into = join(packages, 'slipway/dist/bundle')

const entries = {
  index: 'slipway/dist/index.js',
  server: 'slipway/dist/server.js',
  bin: 'slipway/dist/bin.js',
  'engine-worker': 'engine/dist/worker.js',
}
/** Of many files; every other dependency stays where it is. */
const inlined = [/^@slipway\//, /^zod($|\/)/, /^hono($|\/)/]

/** The name of a package of ours, and the path below its dist, of one of its modules. */
function placeOf(id) {
  const [folder, dist, ...rest] = relative(packages, id).split(sep)
  if (dist !== 'dist') return undefined
  const { name } = JSON.parse(readFileSync(join(packages, folder, 'package.json'), 'utf8'))
  return { name, path: rest.join('/') }
}

/** What tsc puts around the path of an import that is known late hides from vite which files may be meant. */
const plainImports = {
  name: 'plain-imports',
  enforce: 'pre',
  transform: (code) =>
    code.includes('import(__rewrite') ? code.replace(/import\(__\w+\((`[^`]*`)\)\)/g, 'import($1)') : undefined,
}

/** Lets modules find their files by their own place, wherever the bundle and their package are installed. */
const ownPlace = {
  name: 'own-place',
  enforce: 'pre',
  transform(code, id) {
    const place = code.includes('import.meta.url') && placeOf(id)
    if (!place) return undefined
    const home = `new URL(${JSON.stringify(place.path)}, import.meta.resolve(${JSON.stringify(place.name)})).href`
    // the engine's thread has a bundle of its own
    const isClient = place.name === '@slipway/engine' && place.path === 'client.js'
    const own = place.name === 'slipway' ? `new URL(${JSON.stringify(`../${place.path}`)}, import.meta.url).href` : home
    return isClient
      ? code.replace("new URL('./worker.js', import.meta.url)", "new URL('./engine-worker.js', import.meta.url)")
      : code.replaceAll('import.meta.url', own)
  },
}

function newest(folder) {
  const files = readdirSync(folder, { recursive: true }).filter(
    (file) => file.endsWith('.js') && !file.includes('bundle'),
  )
  return Math.max(...files.map((file) => statSync(join(folder, file)).mtimeMs))
}

const folders = readdirSync(packages).map((name) => join(packages, name, 'dist'))
const changed = Math.max(
  statSync(fileURLToPath(import.meta.url)).mtimeMs,
  ...folders.filter((folder) => existsSync(folder)).map(newest),
)
const bundle = join(into, 'index.js')
if (!existsSync(bundle) || statSync(bundle).mtimeMs < changed) {
  const { build } = await import('vite')
  await build({
    root: packages,
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    ssr: { noExternal: inlined },
    plugins: [ownPlace, plainImports],
    build: {
      ssr: true,
      target: 'node20',
      outDir: into,
      emptyOutDir: true,
      minify: false,
      rollupOptions: {
        // what no entry uses is left out: nothing of ours acts by being imported, but the entries
        treeshake: {
          moduleSideEffects: (id, external) => external || Object.values(entries).some((entry) => id.endsWith(entry)),
        },
        input: Object.fromEntries(Object.entries(entries).map(([name, path]) => [name, join(packages, path)])),
        output: { format: 'es', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
      },
    },
  })
}
