import { KeyAccount } from '../http/key-account.ts'

/**
 * Stands in the place of the network's data (`env`) for a request that the server makes of itself: its key was checked
 * when the batch came. Nothing from the network can be one.
 */
export class BatchCaller {
  /** Names the key in the log. It has no limits: those are for requests that somebody waits for. */
  readonly account: KeyAccount | undefined

  constructor(keyName: string | undefined) {
    this.account = keyName === undefined ? undefined : new KeyAccount(keyName, {})
  }
}
