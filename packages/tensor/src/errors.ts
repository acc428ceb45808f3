/**
 * Who can mend an error, which is also how it maps to HTTP:
 * `request` the caller (400), `not-found` (404), `overload` wait and retry (429), `checkpoint` the model's files,
 * `unsupported` a feature we do not have, `device` memory or hardware, `internal` a bug of ours.
 */
export type ErrorKind = 'request' | 'not-found' | 'overload' | 'checkpoint' | 'unsupported' | 'device' | 'internal'

const marker = Symbol.for('slipway.error')

/** Values that an error carries beside its text: the parameter's name, the file, the offset. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>

/** The one error class of the project. The message names the thing, the value and the remedy. */
export class SlipwayError extends Error {
  readonly kind: ErrorKind
  readonly details: ErrorDetails
  readonly [marker] = true

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SlipwayError'
    this.kind = kind
    this.details = details
  }

  /** True for our errors also when the package is installed twice, where `instanceof` fails. */
  static is(error: unknown): error is SlipwayError {
    return typeof error === 'object' && error !== null && marker in error
  }

  /** A form that survives `postMessage`. */
  toWire(): WireError {
    return { kind: this.kind, message: this.message, details: this.details }
  }

  static toWire(error: unknown): WireError {
    if (SlipwayError.is(error)) return error.toWire()
    const message = error instanceof Error ? error.message : String(error)
    return { kind: 'internal', message, details: {} }
  }

  static fromWire(wire: WireError): SlipwayError {
    return new SlipwayError(wire.kind, wire.message, wire.details)
  }
}

export interface WireError {
  readonly kind: ErrorKind
  readonly message: string
  readonly details: ErrorDetails
}
