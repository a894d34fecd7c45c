import type { Cluster, Redis } from 'ioredis'
import type { ConnectionUse } from '../common/bounded-calls.js'
import { KeepAlive } from './keep-alive.js'

/** How long a connection may take to open, in ms, at the start and after it was closed while idle. */
const OPEN_MS = 1_000
/** Calls that fail with a connection fail at most this long before the connection reports its end, in ms. */
const JUST_NOW_MS = 50

interface IdleHandlers {
  /** Is called when a connection that was closed while idle is open again. */
  onReopened (): void
  /** Is called when a connection cannot be opened. */
  onLost (error: Error): void
}

/**
 * Keeps the connections to Redis from being closed for idleness (its option `timeout`, a load balancer), and hides it from
 * callers if one is closed all the same: a call that comes before it is open again waits for it, within its deadline. A
 * connection that is closed while a call waits for its answer is lost.
 */
export class IdleConnections implements ConnectionUse {
  readonly #handlers: IdleHandlers
  readonly #keepAlive: KeepAlive
  #calls = 0
  #failedAt = -Infinity
  #isReady = false
  /** The connection that is opening, for the first time or again. */
  #opening: Opening | undefined

  constructor (client: Redis | Cluster, handlers: IdleHandlers) {
    this.#handlers = handlers
    this.#keepAlive = new KeepAlive(client)
    this.#open()
    let isFirst = true
    client.on('ready', () => {
      this.#isReady = true
      if (this.#opening !== undefined && !isFirst) handlers.onReopened()
      isFirst = false
      this.#settle()
    })
    client.on('error', (error) => { this.#lose(error) })
    client.on('end', () => { this.#lose(new Error('the connection was closed')) })
  }

  /** Returns a promise while a connection is opening. */
  begin (): Promise<void> | undefined {
    this.#calls++
    return this.#opening?.done
  }

  end (hasFailed: boolean): void {
    this.#calls--
    if (hasFailed) this.#failedAt = performance.now()
  }

  /** Must be told of each closed connection. Returns whether one is opening that no call has missed yet. */
  closed (): boolean {
    const wasIdle = this.#isReady && this.#calls === 0 && performance.now() - this.#failedAt > JUST_NOW_MS
    this.#isReady = false
    if (wasIdle) {
      this.#keepAlive.shorten()
      this.#open()
    }
    // A cluster closes and opens several connections while it learns its nodes.
    return this.#opening !== undefined
  }

  stop (): void {
    this.#keepAlive.stop()
    this.#settle()
  }

  #open (): void {
    let settle = (): void => {}
    const done = new Promise<void>((resolve) => { settle = resolve })
    const timer = setTimeout(() => { this.#lose(new Error(`no connection within ${OPEN_MS} ms`)) }, OPEN_MS).unref()
    this.#opening = { done, settle, timer }
  }

  #lose (error: Error): void {
    if (this.#opening === undefined) return
    this.#settle()
    this.#handlers.onLost(error)
  }

  #settle (): void {
    clearTimeout(this.#opening?.timer)
    this.#opening?.settle()
    this.#opening = undefined
  }
}

interface Opening {
  done: Promise<void>
  settle: () => void
  timer: NodeJS.Timeout
}
