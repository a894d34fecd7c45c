import type { CaseName } from '../cases/index.js'
import type { ModuleName } from './modules.js'

/** A peer as the script knows it. */
export interface Peer {
  /** The module with its adapter and the variant that is passed to it, or a program of Python. */
  program: { module: ModuleName, variant?: string } | { python: string }
  /** The servers that it needs. */
  servers: ReadonlyArray<'redis' | 'postgres'>
  /** Whether the cookie carries the session and no server remembers a logout. */
  isStateless?: boolean
  /** Whether it has a call that gives a session a new ID and keeps the user. */
  renews?: boolean
  /** The packages whose versions the table names. */
  packages: readonly string[]
  /** Cases that say nothing about this peer, with the reason. */
  lacks?: Partial<Record<CaseName, string>>
}

const NO_REVOKE = { 'revoke-all': 'no call for it' } as const
const IN_PROCESS = { kill: 'the sessions end with the process', 'store-down': 'the store is in the process' } as const
const STATELESS = { 'store-down': 'no store', ...NO_REVOKE } as const
const EXPRESS = ['express-session', 'express'] as const
const NO_VISITORS = { fixation: 'no session before the login' } as const

/** The order is that of the table. */
export const peers = {
  'hatcheck, memory': { program: { module: 'hatcheck', variant: 'memory' }, servers: [], renews: true, packages: ['hatcheck'], lacks: IN_PROCESS },
  'hatcheck, LMDB': { program: { module: 'hatcheck', variant: 'lmdb' }, servers: [], renews: true, packages: ['hatcheck', 'lmdb'], lacks: { 'store-down': IN_PROCESS['store-down'] } },
  'hatcheck, Redis': { program: { module: 'hatcheck', variant: 'redis' }, servers: ['redis'], renews: true, packages: ['hatcheck', 'ioredis'] },
  'hatcheck, cookie:': { program: { module: 'hatcheck', variant: 'cookie' }, servers: [], renews: true, packages: ['hatcheck', 'lmdb'], lacks: { 'store-down': IN_PROCESS['store-down'] } },
  'hatcheck, cookie:redis:': { program: { module: 'hatcheck', variant: 'cookie-redis' }, servers: ['redis'], renews: true, packages: ['hatcheck', 'ioredis'] },
  '@fastify/session, memory': { program: { module: 'fastify-session', variant: 'memory' }, servers: [], renews: true, packages: ['@fastify/session'], lacks: { ...IN_PROCESS, ...NO_REVOKE } },
  '@fastify/session, connect-redis': { program: { module: 'fastify-session', variant: 'redis' }, servers: ['redis'], renews: true, packages: ['@fastify/session', 'connect-redis', 'redis'], lacks: NO_REVOKE },
  '@fastify/secure-session': { program: { module: 'secure-session' }, servers: [], isStateless: true, packages: ['@fastify/secure-session'], lacks: STATELESS },
  'iron-session': { program: { module: 'iron-session' }, servers: [], isStateless: true, packages: ['iron-session'], lacks: STATELESS },
  'express-session, memory': { program: { module: 'express-session', variant: 'memory' }, servers: [], packages: EXPRESS, lacks: { ...IN_PROCESS, ...NO_REVOKE } },
  'express-session, connect-redis': { program: { module: 'express-session', variant: 'redis' }, servers: ['redis'], packages: [...EXPRESS, 'connect-redis', 'redis'], lacks: NO_REVOKE },
  'express-session, connect-pg-simple': { program: { module: 'express-session', variant: 'postgres' }, servers: ['postgres'], packages: [...EXPRESS, 'connect-pg-simple', 'pg'], lacks: NO_REVOKE },
  'better-auth, PostgreSQL': { program: { module: 'better-auth', variant: 'postgres' }, servers: ['postgres'], packages: ['better-auth', 'pg'], lacks: NO_VISITORS },
  'better-auth, Redis': { program: { module: 'better-auth', variant: 'redis' }, servers: ['postgres', 'redis'], packages: ['better-auth', 'redis', 'pg'], lacks: NO_VISITORS },
  Flask: { program: { python: 'flask' }, servers: [], isStateless: true, packages: ['flask'], lacks: STATELESS },
  'Flask-Session, Redis': { program: { python: 'flask-session' }, servers: ['redis'], packages: ['flask', 'flask-session', 'redis.py'], lacks: NO_REVOKE }
} satisfies Record<string, Peer>

export type PeerName = keyof typeof peers
