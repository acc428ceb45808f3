import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pageDirectory } from '@slipway/playground'
import { cpuAvailable } from '@slipway/tensor'
import { chromium, type Browser, type Page } from 'playwright-core'

/** Where Chromium usually lies; `CHROMIUM_PATH` goes first. */
const places = [
  process.env['CHROMIUM_PATH'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

export const chromiumPath: string | undefined = places.find((place) => place !== undefined && existsSync(place))

/** Why the page cannot be tested here. */
export const skipReason: string | undefined = reasonToSkip()

function reasonToSkip(): string | undefined {
  if (chromiumPath === undefined) return 'skipped: no Chromium; install it, or set CHROMIUM_PATH'
  // a token takes a hundred times as long
  return cpuAvailable().available ? undefined : 'skipped: without native kernels it takes too long'
}

/** A browser that can reach this machine and nothing else. */
export function launchChromium(): Promise<Browser> {
  const args = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
  // Chromium refuses its sandbox to root, as in most containers
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  return chromium.launch({ executablePath: chromiumPath!, args })
}

/** Folder of screenshots; `SLIPWAY_SCREENSHOTS` names another. */
const screenshots =
  process.env['SLIPWAY_SCREENSHOTS'] ?? fileURLToPath(new URL('../../../../artifacts', import.meta.url))

export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true })
  await page.screenshot({ path: join(screenshots, `${name}.png`) })
}

export interface AxeViolation {
  readonly id: string
  readonly help: string
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
}

/** What axe-core finds wrong with the page as it is now, by WCAG 2.2 AA and its own best practices. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const axe = createRequire(import.meta.url)('axe-core') as { source: string }
  // by the debugger's way: the page's own policy allows no such script
  await page.evaluate(axe.source)
  const { violations } = (await page.evaluate('axe.run()')) as { violations: AxeViolation[] }
  return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html}`))
}

/** Writes what the page's scripts have covered where Node writes its own coverage, if it does. */
export async function saveCoverage(page: Page, name: string): Promise<void> {
  const folder = process.env['NODE_V8_COVERAGE']
  const entries = await page.coverage.stopJSCoverage()
  if (!folder) return
  // Node makes it when a process ends
  mkdirSync(folder, { recursive: true })
  const result = entries
    .filter(({ url }) => url.includes('/playground/'))
    .map(({ url, functions, scriptId }) => ({
      scriptId,
      url: `file://${join(pageDirectory, url.split('/').at(-1)!)}`,
      functions,
    }))
  writeFileSync(join(folder, `coverage-${process.pid}-${Date.now()}-${name}.json`), JSON.stringify({ result }))
}
