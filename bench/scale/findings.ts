import type { Cost } from './cost.js'
import type { LoopDelay } from './loop-watch.js'
import type { RedisHolds } from './redis-watch.js'
import type { Requests } from './visitors.js'

/** An operation that was watched. */
export interface Watched {
  /** How many sessions it was about. */
  readonly sessions: number
  readonly tookMs: number
  readonly loop: LoopDelay
  /** The requests of others meanwhile. */
  readonly requests?: Requests
  /** What held Redis meanwhile. */
  readonly redis?: RedisHolds
}

/** The measurements of one size. */
export interface Findings {
  readonly sessions: number
  readonly users: number
  /** Creating all of them, in a process of its own. */
  readonly create: Cost
  readonly createdRssBytes: number
  readonly bytesPerSession: number
  readonly openMs: number
  readonly openRssBytes: number
  readonly readRssBytes: number
  readonly read: Cost
  readonly touch: Cost
  readonly change: Cost
  readonly watched: Record<WatchedOperation, Watched>
}

export const WATCHED = {
  touch: 'touch',
  change: 'change of one value',
  create: 'create 10,000 sessions of one user',
  nothing: 'nothing but requests',
  list: 'list 10,000 sessions of one user',
  revokeAll: 'end 10,000 sessions of one user',
  sweep: 'sweep of the expired half'
} as const

export type WatchedOperation = keyof typeof WATCHED

/** What the process that fills a store finds. */
export type Filled = Pick<Findings, 'create' | 'createdRssBytes'>

/** What the process that measures finds. */
export type Measured = Omit<Findings, keyof Filled | 'sessions' | 'users' | 'bytesPerSession'>
