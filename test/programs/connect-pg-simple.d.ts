/** The part that the tests use. */
declare module 'connect-pg-simple' {
  import type { Pool } from 'pg'

  interface PgStore {
    get (sid: string, callback: (error: unknown, session?: unknown) => void): void
    set (sid: string, session: object, callback?: (error?: unknown) => void): void
    destroy (sid: string, callback?: (error?: unknown) => void): void
    pruneSessions (callback: (error: unknown) => void): void
    close (): Promise<void>
  }

  export default function connectPgSimple (session: { Store: new () => object }):
  new (options: { pool: Pool, createTableIfMissing?: boolean, pruneSessionInterval?: number | false }) => PgStore
}
