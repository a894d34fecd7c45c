/** What the script tells the process of a peer. */
export interface Resources {
  /** An empty folder of its own. */
  folder: string
  /** The URL of its Redis, if it has one. */
  redis: string
  /** The folder with the socket of its PostgreSQL, if it has one. */
  postgres: string
  secret: string
  /** The port to listen at, so that the address stays the same after a restart. */
  port: number
}

/** Starts a peer; resolves when it listens. */
export type Serve = (resources: Resources) => Promise<void>
