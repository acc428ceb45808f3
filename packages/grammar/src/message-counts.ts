/** Which way a message goes: to the thread, or from it. */
export type Direction = 'commands' | 'reports'

const indices = { commands: 0, reports: 1 }

/**
 * How many messages two threads have sent each other. An event loop takes tens of microseconds to hand over a message;
 * who has nothing else to do waits here for the next one, and takes it from the port.
 */
export class MessageCounts {
  /** For the other thread. */
  readonly shared: SharedArrayBuffer
  readonly #counts: Int32Array

  constructor(shared = new SharedArrayBuffer(8)) {
    this.shared = shared
    this.#counts = new Int32Array(shared)
  }

  /** To be called when a message has been sent. */
  add(direction: Direction): void {
    Atomics.add(this.#counts, indices[direction], 1)
    Atomics.notify(this.#counts, indices[direction])
  }

  /** Blocks this thread until another number than `seen` has been sent; false if that takes longer than `ms`. */
  wait(direction: Direction, seen: number, ms: number): boolean {
    return Atomics.wait(this.#counts, indices[direction], seen, ms) !== 'timed-out'
  }
}
