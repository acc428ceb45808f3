import { byId, setText } from './dom.ts'
import { defaultSettings, parameters, readSettings, type Faults, type Settings } from './settings.ts'

const storageKey = 'slipway.settings'
const names = Object.keys(defaultSettings) as (keyof Settings)[]

/** The form of parameters: kept in this browser, checked while somebody types. */
export class SettingsView {
  readonly #form = byId<HTMLFormElement>('parameters')

  constructor() {
    this.write(readSettings(readStored()))
    this.#form.addEventListener('input', () => {
      const settings = this.read()
      this.showFaults(parameters(settings).faults)
      localStorage.setItem(storageKey, JSON.stringify(settings))
    })
    this.#form.addEventListener('submit', (event) => event.preventDefault())
    for (const button of this.#form.querySelectorAll<HTMLButtonElement>('[data-example]'))
      button.addEventListener('click', () => this.#insertExample(button.dataset['example'] as keyof typeof examples))
  }

  #field(name: keyof Settings): HTMLInputElement {
    return this.#form.elements.namedItem(name) as HTMLInputElement
  }

  read(): Settings {
    const entries = names.map((name) => {
      const field = this.#field(name)
      return [name, field.type === 'checkbox' ? field.checked : field.value]
    })
    return readSettings(Object.fromEntries(entries))
  }

  write(settings: Settings): void {
    for (const name of names) {
      const value = settings[name]
      const field = this.#field(name)
      if (typeof value === 'boolean') field.checked = value
      else if (name !== 'model') field.value = value
    }
    this.showFaults(parameters(settings).faults)
  }

  /** Fills the list of models; the one that was chosen stays if it is still there. */
  setModels(models: readonly string[]): void {
    const list = this.#field('model') as unknown as HTMLSelectElement
    const chosen = list.value
    list.replaceChildren(...models.map((name) => new Option(name, name)))
    if (models.includes(chosen)) list.value = chosen
    byId('model-row').hidden = models.length < 2
  }

  showFaults(faults: Faults): void {
    for (const name of names) {
      const field = this.#field(name)
      const fault = faults[name]
      field.setAttribute('aria-invalid', String(fault !== undefined))
      const place = document.getElementById(`${name}-fault`)
      if (!place) continue
      setText(place, fault ?? '')
      place.hidden = fault === undefined
    }
    const hidden = Object.keys(faults).length === 0
    byId('faults').hidden = hidden
    setText(byId('faults'), hidden ? '' : `Mend these parameters first: ${Object.keys(faults).join(', ')}`)
  }

  #insertExample(name: keyof typeof examples): void {
    const field = this.#field(name)
    field.value = JSON.stringify(examples[name], undefined, 2)
    field.dispatchEvent(new Event('input', { bubbles: true }))
    field.focus()
    field.setSelectionRange(0, 0)
    field.scrollTop = 0
  }
}

function readStored(): unknown {
  try {
    return JSON.parse(localStorage.getItem(storageKey) ?? '{}')
  } catch {
    return {}
  }
}

const text = { type: 'string' }
const examples = {
  tools: [
    {
      type: 'function',
      function: {
        name: 'calculator',
        description: 'Works out a sum.',
        parameters: { type: 'object', properties: { expression: text }, required: ['expression'] },
      },
    },
  ],
  schema: {
    type: 'object',
    properties: { name: text, colour: { enum: ['red', 'green', 'blue'] }, count: { type: 'integer' } },
    required: ['name', 'colour', 'count'],
    additionalProperties: false,
  },
}
