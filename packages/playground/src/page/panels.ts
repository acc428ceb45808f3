import { byId, setText } from './dom.ts'

const themes = ['auto', 'light', 'dark'] as const
const storageKey = 'slipway.theme'

/** The panels at the sides, help, theme and keys. */
export function setUpPanels({ onEscape, isBusy }: { onEscape: () => void; isBusy: () => boolean }): void {
  setUpTheme()
  const narrow = matchMedia('(max-width: 900px)')
  const show = (name: string, isShown: boolean): void => {
    byId(name).hidden = !isShown
    byId(`${name}-button`).setAttribute('aria-expanded', String(isShown))
  }
  const panels = ['settings', 'engine'] as const
  const toggle = (name: (typeof panels)[number]): void => {
    const isShown = Boolean(byId(name).hidden)
    show(name, isShown)
    // on a phone there is place for one
    if (narrow.matches && isShown) for (const other of panels) if (other !== name) show(other, false)
  }
  const closeAll = (): void => {
    for (const name of panels) show(name, false)
  }
  const fit = (): void => {
    for (const name of panels) show(name, !narrow.matches)
  }
  narrow.addEventListener('change', fit)
  fit()
  for (const name of panels) byId(`${name}-button`).addEventListener('click', () => toggle(name))

  const help = byId<HTMLDialogElement>('help')
  byId('help-button').addEventListener('click', () => help.showModal())
  document.addEventListener('keydown', (event) => {
    const isControl = event.ctrlKey || event.metaKey
    if (event.key === 'Escape' && !help.open) {
      if (isBusy()) onEscape()
      else if (narrow.matches) closeAll()
    } else if (isControl && event.key === '/') {
      event.preventDefault()
      if (help.open) help.close()
      else help.showModal()
    } else if (isControl && event.key === ',') {
      event.preventDefault()
      toggle('settings')
    } else if (isControl && event.key === '.') {
      event.preventDefault()
      toggle('engine')
    }
  })
}

function setUpTheme(): void {
  const button = byId('theme')
  const root = document.documentElement
  const set = (theme: string): void => {
    root.dataset['theme'] = theme
    setText(button, { light: 'Light', dark: 'Dark' }[theme] ?? 'Auto')
    button.setAttribute('aria-label', `theme: ${theme}`)
  }
  set(localStorage.getItem(storageKey) ?? 'auto')
  button.addEventListener('click', () => {
    const place = themes.indexOf(root.dataset['theme'] as (typeof themes)[number])
    const next = themes[(place + 1) % themes.length]!
    localStorage.setItem(storageKey, next)
    set(next)
  })
}
