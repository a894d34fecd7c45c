import type { Cluster, Redis } from 'ioredis'
import { isCluster } from './nodes.js'

/** The time between two PINGs, in ms. Load balancers close a connection that has been idle for a minute or more. */
const KEEP_ALIVE_MS = 20_000
/** The shortest time between two PINGs, in ms, if idle connections are closed sooner. */
const SHORTEST_KEEP_ALIVE_MS = 500

/** Sends a PING over each connection, more often once an idle one was closed. */
export class KeepAlive {
  readonly #client: Redis | Cluster
  #everyMs = KEEP_ALIVE_MS
  #isStopped = false
  #timer: NodeJS.Timeout
  #pingedAt = performance.now()

  constructor (client: Redis | Cluster) {
    this.#client = client
    this.#timer = this.#start()
    if (isCluster(client)) client.on('+node', (node: Redis) => { node.once('close', () => { this.shorten() }) })
  }

  shorten (): void {
    // The nodes of a cluster close after the end as well, and another timer would hold the client forever.
    if (this.#isStopped) return
    const idleMs = performance.now() - this.#pingedAt
    this.#pingedAt = performance.now()
    const everyMs = Math.max(SHORTEST_KEEP_ALIVE_MS, idleMs / 3)
    if (idleMs < SHORTEST_KEEP_ALIVE_MS || everyMs >= this.#everyMs) return
    this.#everyMs = everyMs
    clearInterval(this.#timer)
    this.#timer = this.#start()
  }

  stop (): void {
    this.#isStopped = true
    clearInterval(this.#timer)
  }

  #start (): NodeJS.Timeout {
    return setInterval(() => {
      this.#pingedAt = performance.now()
      const nodes = isCluster(this.#client) ? this.#client.nodes() : [this.#client]
      for (const node of nodes) if (node.status === 'ready') node.ping().catch(() => {})
    }, this.#everyMs).unref()
  }
}
