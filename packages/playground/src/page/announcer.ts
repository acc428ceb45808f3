/** Cuts a growing text into sentences, so that a screen reader is told whole ones. */
export class Announcer {
  #told = 0

  /** The sentences that have become whole since the last call. */
  push(text: string, isEnd: boolean): string {
    const rest = text.slice(this.#told)
    const end = isEnd ? rest.length : (/^[^]*[.!?:;\n](?=\s)/.exec(rest)?.[0].length ?? 0)
    this.#told += end
    return rest.slice(0, end).trim()
  }
}
