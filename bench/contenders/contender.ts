import type { Requests } from '../requests.js'

/** What a contender may use. */
export interface Resources {
  /** A folder of its own, which exists. */
  dataDir: string
  /** A Redis of its own; empty for a contender that does not use one. */
  redisUrl: string
}

export interface Running {
  port: number
  close (): Promise<void>
}

/** A server with the page, a login and one value of a session. Each file of this folder defines those of one library. */
export interface Contender {
  name: string
  /** Its packages that may be missing. */
  packages?: readonly string[]
  /** The programs that must be installed, each with arguments that make it end at once. */
  programs?: ReadonlyArray<readonly [program: string, ...args: string[]]>
  /**
   * The only platform that it can be measured on.
   *
   * @default any
   */
  platform?: NodeJS.Platform
  /** @default false */
  usesRedis?: boolean
  /** Requests that differ from the usual ones; null: it has none. */
  requests?: Partial<Requests>
  /**
   * Whether it is another build, whose page may be another one.
   *
   * @default false
   */
  isOther?: boolean
  /** Imports what the contender needs, so that no process carries the code of another. */
  start (resources: Resources): Promise<Running>
}
