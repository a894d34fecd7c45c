import { NOTHING, type Seen } from '../apps/session-routes.js'
import { IDLE_MS, LIFETIME_MS, TOUCH_MS, type Command, type Model } from './session-model.js'

/** What all copies of a cookie have in common: the session under one ID. */
interface Life {
  readonly user: string | null
  hasEnded: boolean
  /** Where it continues, if it was renewed. */
  next?: Life
}

/** What one cookie carries. It never changes: a response sends another cookie. */
interface Carried {
  readonly life: Life
  readonly data: Record<string, string>
  readonly createdAt: number
  readonly seenAt: number
}

/** Sessions in cookies as docs/stores.md promises them: each client has values of its own, and an end holds for every copy. */
export class CookieModel implements Model {
  readonly #held: Array<Carried | null>
  readonly #lives: Life[] = []
  #now: number

  constructor (clients: number, now: number) {
    this.#held = Array.from({ length: clients }, () => null)
    this.#now = now
  }

  run (command: Command): void {
    switch (command.do) {
      case 'login': {
        const before = this.#live(command.client)
        const data = before !== null && (before.life.user === null || before.life.user === command.user) ? before.data : {}
        if (before !== null) before.life.hasEnded = true
        this.#begin(command.client, command.user, data, this.#now)
        return
      }
      case 'write': {
        const { client, key, value } = command
        const carried = this.#live(client)
        if (carried === null) this.#begin(client, null, { [key]: value }, this.#now)
        else if (carried.data[key] === value) this.#look(client)
        else this.#held[client] = { ...carried, data: { ...carried.data, [key]: value }, seenAt: this.#now }
        return
      }
      case 'delete': {
        const { client, key } = command
        const carried = this.#live(client)
        if (carried === null || !(key in carried.data)) {
          this.#look(client)
          return
        }
        const { [key]: _deleted, ...data } = carried.data
        this.#held[client] = { ...carried, data, seenAt: this.#now }
        return
      }
      case 'rotate': {
        const before = this.#live(command.client)
        if (before === null) return
        const { life, data, createdAt } = before
        life.hasEnded = true
        if (life.user === null && Object.keys(data).length === 0) this.#held[command.client] = null
        else life.next = this.#begin(command.client, life.user, data, createdAt)
        return
      }
      case 'touch': {
        const carried = this.#live(command.client)
        if (carried !== null) this.#held[command.client] = { ...carried, seenAt: this.#now }
        return
      }
      case 'revoke':
        for (const life of this.#lives) if (life.user === command.user) life.hasEnded = true
        this.#look(command.client)
        return
      case 'logout': {
        // A former cookie ends what its session has become.
        for (let life = this.#held[command.client]?.life; life !== undefined; life = life.next) life.hasEnded = true
        this.#held[command.client] = null
        return
      }
      case 'read':
        this.#look(command.client)
        return
      case 'copy':
        this.#held[command.client] = this.#held[command.from] ?? null
        return
      case 'pass':
        this.#now += command.ms
    }
  }

  see (client: number): Seen {
    const carried = this.#live(client)
    return carried === null ? NOTHING : { user: carried.life.user, data: carried.data }
  }

  /** Activity is recorded occasionally, in the cookie of the one who is active. */
  #look (client: number): void {
    const carried = this.#live(client)
    if (carried !== null && this.#now - carried.seenAt > TOUCH_MS) this.#held[client] = { ...carried, seenAt: this.#now }
  }

  #begin (client: number, user: string | null, data: Record<string, string>, createdAt: number): Life {
    const life: Life = { user, hasEnded: false }
    this.#lives.push(life)
    this.#held[client] = { life, data, createdAt, seenAt: this.#now }
    return life
  }

  #live (client: number): Carried | null {
    const carried = this.#held[client] ?? null
    if (carried === null || carried.life.hasEnded) return null
    return Math.min(carried.createdAt + LIFETIME_MS, carried.seenAt + IDLE_MS) > this.#now ? carried : null
  }
}
