import { strict as assert } from 'node:assert'
import { Load, type Turns } from './load/load.js'
import { Visitor } from './load/visitor.js'
import type { RequestTemplate } from './requests.js'
import type { Senders } from './rows.js'

export const CONNECTIONS = 16
export const VISITORS = 1_000

/** Longer than any contender needs for the logins of all visitors. */
const LOGINS_MS = 60_000

/** The visitors of one contender. */
export class Population {
  #loggedIn: Visitor[] = []
  readonly #newcomers: Visitor[] = []
  #next = 0
  #count = 0

  /** Logs this number of visitors in. */
  async logIn (visitors: number, port: number, login: RequestTemplate): Promise<void> {
    // Without those whose login has failed, when it is tried again.
    this.#loggedIn = this.#loggedIn.filter(({ cookieLine }) => cookieLine !== '')
    const load = await Load.open(port, CONNECTIONS)
    await load.run(login, () => {
      if (this.#loggedIn.length === visitors) return null
      const visitor = new Visitor()
      this.#loggedIn.push(visitor)
      return { visitor, word: this.#newName() }
    }, LOGINS_MS, true).finally(() => { load.close() })
    const without = this.#loggedIn.filter(({ cookieLine }) => cookieLine === '').length
    assert.equal(without, 0, `${without} logins of ${this.#loggedIn.length} gave no cookie`)
  }

  turnsOf (senders: Senders): Turns {
    switch (senders) {
      case 'browsers': return (connection) => this.#turnOf(this.#loggedIn[connection])
      case 'proxy': return () => this.#turnOf(this.#loggedIn[this.#next++ % this.#loggedIn.length])
      case 'strangers': return () => ({ visitor: new Visitor() })
      case 'newcomers': return () => {
        const visitor = new Visitor()
        this.#newcomers.push(visitor)
        return { visitor, word: this.#newName() }
      }
      case 'leavers': return () => this.#turnOf(this.#newcomers.pop())
    }
  }

  /** Returns how many requests of a row may go before its measurement, so that some are left for it. */
  mostBefore (senders: Senders): number {
    return senders === 'leavers' ? this.#newcomers.length >> 1 : Infinity
  }

  #turnOf (visitor: Visitor | undefined) {
    // Of one length, and another value each time: to set the same one again is no change.
    return visitor === undefined ? null : { visitor, word: String(100_000 + this.#count++ % 900_000) }
  }

  /** Of one length, so that all pages have one; another user each time, since a user has a limited number of sessions. */
  #newName (): string {
    return `Visitor ${String(this.#count++).padStart(9, '0')}`
  }
}
