import type { Command, Redis } from 'ioredis'
// Not the global function: an application under fake timers would wait for its commands forever.
import { setImmediate } from 'node:timers'

/**
 * Returns a class of clients that write the commands of one turn of the event loop to the socket at once. The automatic
 * pipelines of ioredis do so too, but each of them takes longer than the command: it gets a method for every script.
 */
export function inTurns (Client: typeof Redis): typeof Redis {
  return class extends Client {
    #isCorked = false

    override sendCommand (...args: [command: Command, stream?: Parameters<Redis['sendCommand']>[1]]): unknown {
      this.#cork()
      return super.sendCommand(...args)
    }

    #cork (): void {
      // There is none before the first connection.
      const stream = this.stream as Redis['stream'] | undefined
      if (this.#isCorked || stream === undefined) return
      this.#isCorked = true
      stream.cork()
      setImmediate(() => {
        this.#isCorked = false
        stream.uncork()
      })
    }
  }
}
