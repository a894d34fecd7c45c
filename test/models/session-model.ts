import { TOMBSTONE_MS } from '../../plugins/store/sessions.js'
import { NOTHING, type Seen } from '../apps/session-routes.js'

/** An action of one client, or an event that affects all clients. */
export type Command =
  | { do: 'login', client: number, user: string }
  | { do: 'read' | 'touch' | 'rotate' | 'logout', client: number }
  | { do: 'write', client: number, key: string, value: string }
  | { do: 'delete', client: number, key: string }
  | { do: 'revoke', client: number, user: string }
  | { do: 'copy', client: number, from: number }
  | { do: 'pass', ms: number }
  | { do: 'restart' }

interface ModelSession {
  user: string | null
  data: Record<string, string>
  createdAt: number
  seenAt: number
  ended: boolean
  /** When it was renewed, and its successor. */
  renewed?: { at: number, next: ModelSession }
}

/** What the clients of an application see. */
export interface Model {
  run (command: Command): void
  /** What a client would see in a request now. */
  see (client: number): Seen
}

export const IDLE_MS = 3_600_000
export const LIFETIME_MS = 86_400_000
export const TOUCH_MS = IDLE_MS / 20

/** Sessions in a store as the documentation promises them, without a store, a cookie or a request. */
export class SessionModel implements Model {
  readonly #held: Array<ModelSession | null>
  readonly #sessions: ModelSession[] = []
  readonly #perUser: number
  #now: number

  /** @param perUser the maximum number of sessions of a user */
  constructor (clients: number, now: number, perUser: number) {
    this.#perUser = perUser
    this.#held = Array.from({ length: clients }, () => null)
    this.#now = now
  }

  run (command: Command): void {
    switch (command.do) {
      case 'login': {
        const before = this.#live(command.client)
        const data = before !== null && (before.user === null || before.user === command.user) ? before.data : {}
        this.#end(before)
        this.#begin(command.client, command.user, data, this.#now)
        const excess = this.#sessionsOf(command.user).sort((a, b) => b.createdAt - a.createdAt).slice(this.#perUser)
        for (const session of excess) this.#end(session)
        return
      }
      case 'write': {
        const session = this.#live(command.client)
        const { key, value } = command
        if (session === null) this.#begin(command.client, null, { [key]: value }, this.#now)
        else if (session.data[key] === value) this.#look(command.client)
        else Object.assign(session, { data: { ...session.data, [key]: value }, seenAt: this.#now })
        return
      }
      case 'delete': {
        const session = this.#live(command.client)
        if (session === null || !(command.key in session.data)) {
          this.#look(command.client)
          return
        }
        const { [command.key]: _deleted, ...data } = session.data
        Object.assign(session, { data, seenAt: this.#now })
        return
      }
      case 'rotate': {
        const before = this.#live(command.client)
        // The client keeps the ticket of an ended session.
        if (before === null) return
        this.#end(before)
        if (before.user === null && Object.keys(before.data).length === 0) this.#held[command.client] = null
        else before.renewed = { at: this.#now, next: this.#begin(command.client, before.user, before.data, before.createdAt) }
        return
      }
      case 'touch': {
        const session = this.#live(command.client)
        if (session !== null) session.seenAt = this.#now
        return
      }
      case 'revoke':
        for (const session of this.#sessions) if (session.user === command.user) this.#end(session)
        this.#look(command.client)
        return
      case 'logout':
        this.#end(this.#nowOf(this.#held[command.client] ?? null))
        this.#held[command.client] = null
        return
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
    const session = this.#live(client)
    return session === null ? NOTHING : { user: session.user, data: session.data }
  }

  sessionsOf (user: string): number {
    return this.#sessionsOf(user).length
  }

  #sessionsOf (user: string): ModelSession[] {
    return this.#sessions.filter((session) => session.user === user && this.#lives(session))
  }

  /** Reading a session is activity, which is recorded occasionally. */
  #look (client: number): void {
    const session = this.#live(client)
    if (session !== null && this.#now - session.seenAt > TOUCH_MS) session.seenAt = this.#now
  }

  #begin (client: number, user: string | null, data: Record<string, string>, createdAt: number): ModelSession {
    const session: ModelSession = { user, data, createdAt, seenAt: this.#now, ended: false }
    this.#sessions.push(session)
    this.#held[client] = session
    return session
  }

  /** The current successor of a session, for as long as a former ticket can end it. */
  #nowOf (session: ModelSession | null): ModelSession | null {
    if (session?.renewed === undefined) return session
    const { at, next } = session.renewed
    return at + TOMBSTONE_MS > this.#now ? this.#nowOf(next) : null
  }

  #end (session: ModelSession | null): void {
    if (session !== null) session.ended = true
  }

  #live (client: number): ModelSession | null {
    const session = this.#held[client] ?? null
    return session !== null && this.#lives(session) ? session : null
  }

  #lives ({ createdAt, seenAt, ended }: ModelSession): boolean {
    return !ended && Math.min(createdAt + LIFETIME_MS, seenAt + IDLE_MS) > this.#now
  }
}
