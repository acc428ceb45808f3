import { AnswerView } from './answer-view.ts'
import { Chat, chatPath, modelNames } from './chat.ts'
import { exportMessages, importMessages, type Answer, type Message } from './conversation.ts'
import { byId, h, setText } from './dom.ts'
import { EngineView } from './engine-view.ts'
import { Feed } from './feed.ts'
import { copyText } from './markdown-view.ts'
import { setUpPanels } from './panels.ts'
import { curlCommand, readSettings } from './settings.ts'
import { SettingsView } from './settings-view.ts'
import { TokenPopover } from './token-popover.ts'

const settings = new SettingsView()
const list = byId('messages')
const scroller = byId('scroller')
const input = byId<HTMLTextAreaElement>('input')
const keyField = byId<HTMLInputElement>('key')
const views = new Map<Message, AnswerView>()

// kept until the tab is closed, and only for this tab
keyField.value = sessionStorage.getItem('slipway.key') ?? ''
const key = (): string => keyField.value.trim()

const chat = new Chat({
  settings: () => settings.read(),
  key,
  onFaults: (faults) => settings.showFaults(faults),
  onList: showList,
  onAnswer: (answer) => {
    grown = answer
    // once per frame, however fast the tokens come
    frame ??= requestAnimationFrame(showGrown)
  },
})
let grown: Answer | undefined
let frame: number | undefined

function announce(text: string): void {
  const log = byId('announcer')
  log.append(h('p', {}, text))
  // what was told long ago is told no more
  if (log.childElementCount > 100) log.firstElementChild!.remove()
}

function showGrown(): void {
  frame = undefined
  keepAtEnd(() => grown && views.get(grown)?.update())
  showState()
}

/** Follows a text that grows, unless somebody has scrolled up to read. */
function keepAtEnd(change: () => void): void {
  const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40
  change()
  if (isAtEnd) scroller.scrollTop = scroller.scrollHeight
}

function showList(): void {
  const { messages } = chat
  for (const message of views.keys()) if (!messages.includes(message)) views.delete(message)
  list.replaceChildren(...messages.map((message) => elementOf(message)))
  byId('empty').hidden = messages.length > 0
  scroller.scrollTop = scroller.scrollHeight
  popover.hide()
  showState()
}

function elementOf(message: Message): HTMLElement {
  if (message.role === 'user')
    return h(
      'article',
      { class: 'message user', 'aria-label': 'your message' },
      h('div', { class: 'bubble' }, message.content),
    )
  if (message.role === 'tool')
    return h(
      'article',
      { class: 'message tool', 'aria-label': 'result of a call' },
      h('span', { class: 'badge' }, 'tool result'),
      h('pre', {}, message.content),
    )
  let view = views.get(message)
  if (!view) views.set(message, (view = new AnswerView(message, chat, announce)))
  view.update()
  return view.element
}

function showState(): void {
  const { isRunning } = chat
  byId('stop-button').hidden = !isRunning
  byId('send').hidden = isRunning
  document.body.classList.toggle('busy', isRunning)
}

const popover = new TokenPopover(scroller, (element) => {
  const article = element.closest('.message')
  return [...views.values()].find((view) => view.element === article)?.answer.tokens ?? []
})

function send(): void {
  const text = input.value.trim()
  if (text === '' || !chat.send(text)) return
  input.value = ''
  input.focus()
}

byId('composer').addEventListener('submit', (event) => {
  event.preventDefault()
  send()
})
input.addEventListener('keydown', (event) => {
  // Enter that ends the choice of a character is none
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  send()
})
byId('stop-button').addEventListener('click', () => {
  chat.stop()
  input.focus()
})
for (const example of document.querySelectorAll<HTMLElement>('.suggestion'))
  example.addEventListener('click', () => {
    input.value = example.textContent
    send()
  })

byId('new').addEventListener('click', () => {
  chat.replace([])
  input.focus()
})
byId('tint').addEventListener('change', (event) => {
  list.classList.toggle('tinted', (event.target as HTMLInputElement).checked)
})
byId('export').addEventListener('click', () => {
  const file = { slipway: 1, settings: settings.read(), messages: exportMessages(chat.messages) }
  const url = URL.createObjectURL(new Blob([JSON.stringify(file, undefined, 2)], { type: 'application/json' }))
  h('a', { href: url, download: 'conversation.json' }).click()
  URL.revokeObjectURL(url)
})
const file = byId<HTMLInputElement>('file')
byId('import').addEventListener('click', () => file.click())
file.addEventListener('change', () => void importFile())

async function importFile(): Promise<void> {
  const [chosen] = file.files ?? []
  file.value = ''
  if (!chosen) return
  try {
    const value = JSON.parse(await chosen.text()) as { settings?: unknown; messages?: unknown }
    const messages = importMessages(value.messages)
    if (value.settings) settings.write(readSettings(value.settings))
    chat.replace(messages)
    setText(byId('file-fault'), '')
  } catch (error) {
    setText(byId('file-fault'), `${chosen.name}: ${(error as Error).message}`)
  }
}

const curl = byId('curl')
curl.addEventListener('click', () => {
  const draft: Message[] = input.value.trim() === '' ? [] : [{ role: 'user', content: input.value.trim() }]
  const body = chat.body([...chat.messages, ...draft])
  if (body) void copyText(curlCommand(`${location.origin}${chatPath}`, body, key() !== ''), curl)
})

const engine = new EngineView()
const feed = new Feed({
  key,
  onSnapshot: (snapshot) => engine.show(snapshot),
  onState: ({ kind, text }) => {
    setText(byId('state'), text)
    byId('state').dataset['kind'] = kind
    if (kind === 'live') void readModels()
  },
})

async function readModels(): Promise<void> {
  const names = await modelNames(key()).catch(() => [])
  settings.setModels(names)
  if (names.length > 0) setText(byId('model-name'), names[0]!)
}

keyField.addEventListener('change', () => {
  sessionStorage.setItem('slipway.key', key())
  feed.stop()
  feed.start()
})
// nobody looks at a hidden page
document.addEventListener('visibilitychange', () => (document.hidden ? feed.stop() : feed.start()))
feed.start()

setUpPanels({ onEscape: () => chat.stop(), isBusy: () => chat.isRunning })
showList()
input.focus()
