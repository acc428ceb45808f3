import { Environment } from '@huggingface/jinja'
import { addRepairs } from './template-repairs.ts'

/** What a template says with `raise_exception`: the messages are not what the model was trained on. */
export class TemplateRefusal extends Error {}

/** Jinja's sandbox has the same limit. */
const maxRange = 100_000

/** The names that templates of the transformers library may count on (`utils/chat_template_utils.py`). */
export function templateEnvironment(now: Date): Environment {
  const environment = new Environment()
  for (const [name, value] of Object.entries({ true: true, false: false, none: null })) {
    environment.set(name, value)
    environment.set(name[0]!.toUpperCase() + name.slice(1), value)
  }
  environment.set('raise_exception', (message: unknown) => {
    throw new TemplateRefusal(String(message))
  })
  environment.set('range', range)
  environment.set('strftime_now', (format: string) => strftime(now, format))
  addRepairs(environment)
  return environment
}

/** As Python's. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = typeof second === 'number' ? [first, second] : [0, first]
  if (step === 0) throw new Error('range() step must not be zero')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  if (length > maxRange) throw new Error(`range() of ${length} is over the limit of ${maxRange}`)
  return Array.from({ length }, (_, i) => start + i * step)
}

const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

/** As Python's in the C locale, which is what models saw in training; the library's follows the machine's language. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const [month, day] = [months[date.getMonth()]!, days[date.getDay()]!]
  const hour12 = date.getHours() % 12 || 12
  const startOfYear = Date.UTC(date.getFullYear(), 0, 0)
  const dayOfYear = (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - startOfYear) / 86_400_000
  const codes: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: month,
    b: month.slice(0, 3),
    h: month.slice(0, 3),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, ' '),
    '-d': String(date.getDate()),
    '-m': String(date.getMonth() + 1),
    '-H': String(date.getHours()),
    '-I': String(hour12),
    '-M': String(date.getMinutes()),
    j: String(dayOfYear).padStart(3, '0'),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    I: two(hour12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    '%': '%',
  }
  const composed = format
    .replaceAll('%F', '%Y-%m-%d')
    .replaceAll('%T', '%H:%M:%S')
    .replaceAll('%R', '%H:%M')
    .replaceAll('%D', '%m/%d/%y')
  return composed.replace(/%(-?[A-Za-z]|%)/g, (text, code: string) => codes[code] ?? text)
}
