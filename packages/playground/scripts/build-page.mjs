// Bundles the page with vite, unless nothing has changed since the last time.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = fileURLToPath(new URL('..', import.meta.url))
const source = join(home, 'src/page')
const site = join(home, 'dist/site')

const inputs = readdirSync(source).filter((name) => !name.endsWith('.test.ts'))
const newest = Math.max(...[...inputs.map((name) => join(source, name)), fileURLToPath(import.meta.url)].map(changed))
const page = join(site, 'index.html')
if (!existsSync(page) || changed(page) < newest) {
  const { build } = await import('vite')
  await build({
    root: source,
    configFile: false,
    // the server sends index.html at /, its other files below this
    base: '/playground/',
    logLevel: 'warn',
    build: {
      outDir: site,
      emptyOutDir: true,
      assetsDir: '',
      // nothing is put into the page itself: its security policy allows files only
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      target: 'es2022',
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      sourcemap: true,
    },
  })
}

function changed(file) {
  return statSync(file).mtimeMs
}
