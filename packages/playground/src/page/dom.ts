type Child = Node | string | undefined | false
type Listeners = {
  readonly [Name in keyof HTMLElementEventMap as `on${Name}`]?: (event: HTMLElementEventMap[Name]) => void
}
type Attributes = Readonly<Record<string, string | number | boolean | undefined | ((event: never) => void)>>

/**
 * An element with attributes, listeners (`onclick`) and children. Strings become text and nothing else, so what a model
 * writes stays text.
 */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes & Listeners = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key.slice(2), value as EventListener)
    else if (value === true) element.setAttribute(key, '')
    else if (value !== undefined && value !== false) element.setAttribute(key, String(value))
  }
  element.append(...children.filter((child): child is Node | string => child !== undefined && child !== false))
  return element
}

/** An element of the page by its id. */
export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T
}

/** Sets a text only where it differs: the rest of the page need not be laid out again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}
