import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/resolve.js'
import type { Cookies } from '../cookies/index.js'
import type { StorageGroup } from '../storage/index.js'
import { guarded } from '../store/errors.js'
import { openKeyring, type Keyring } from '../tickets/keyring.js'
import type { Ticket } from '../tickets/ticket.js'
import type { Workers } from '../workers/index.js'
import { createAdoption } from './adopt.js'
import { AnonymousLimit } from './anonymous-limit.js'
import type { SessionContext } from './context.js'
import { SessionCookie } from './cookie.js'
import { assertDeliverable, cookieProfiles } from './cookie-profile.js'
import { SessionEmitter } from './events.js'
import { fastifySessionIds } from './fastify-session-ids.js'
import { createFinder } from './find.js'
import { bytesThatFit, inCookie } from './in-cookie.js'
import { inStore } from './in-store.js'
import { OldSessions } from './old-sessions.js'
import type { Outside } from './outside.js'
import { SessionSchema } from './schema.js'
import { ticketReader, ticketsIn } from './ticket-reader.js'
import { startUpkeep } from './upkeep.js'
import { Writer } from './write.js'

/** What sessions are made of. */
export interface SessionParts {
  config: Config
  storage: StorageGroup
  cookies: Cookies
  workers: Workers
}

interface Assembled {
  readonly keyring: Keyring
  /** What the session of a request works with. */
  readonly context: SessionContext
  /** What works with sessions without a request. */
  readonly outside: Outside
  /** The sessions of another library that requests may present; null: there are none. */
  readonly oldSessions: OldSessions | null
  /** Stops the timers. The storage stays open. */
  stop (): void
}

/** Assembles the folder, up to the hooks and decorations of requests. */
export async function assemble (fastify: FastifyInstance, { config, storage, cookies, workers }: SessionParts): Promise<Assembled> {
  const { log } = fastify
  const { now, lifetimes, oldSessionKinds } = config
  const store = storage.sessions

  const keyring = openKeyring(config, log, workers.isAlone)
  const handleOf = (key: string): string => keyring.signer.handleOf(key)
  const ticketOf = (id: string): Ticket => keyring.signer.ticketOf(id)
  storage.nameSessionsBy(handleOf)

  const profileOf = cookieProfiles(config)
  const { formerCookies } = config
  const cookie = new SessionCookie({ lifetimes, now, profileOf, cookies, formerCookies, adoptedCookies: oldSessionKinds.map(({ cookie }) => cookie) })

  const emitter = new SessionEmitter(log, handleOf)
  const upkeep = await startUpkeep(store, emitter, log, workers, (key) => keyring.signer.ownsKey(key))
  const { isRefused } = upkeep
  const oldSessions = oldSessionKinds.length === 0 ? null : new OldSessions(oldSessionKinds, config, ticketOf)

  const formerNames = formerCookies.map(({ name }) => name)
  const longestValue = cookie.longestValue()
  const backend = storage.carried === undefined
    ? inStore(store, () => keyring.signer)
    : inCookie({
      carried: storage.carried,
      longestValue,
      maxBytes: config.sessionMaxBytes,
      lifetimes,
      now,
      currentSecrets: () => keyring.secrets,
      ticketOf,
      newId: () => keyring.signer.newId()
    })
  const adoptableBytes = storage.carried === undefined ? config.sessionMaxBytes : Math.min(config.sessionMaxBytes, bytesThatFit(longestValue))
  const ticketsOf = ticketReader(() => backend.verifier, profileOf, formerNames)
  const { find, findAmong, read } = createFinder({ backend, lifetimes, now, ticketsOf, isRefused })
  const anonymousLimit = new AnonymousLimit(config.anonymousSessionsPerMinute, now)
  const writer = new Writer({ backend, emitter, upkeep, ticketsOf, oldSessions, sessionsPerUser: config.sessionsPerUser, anonymousLimit, ticketOf })

  const context: SessionContext = {
    lifetimes,
    maxBytes: config.sessionMaxBytes,
    anonymousSessions: config.anonymousSessions,
    now,
    find,
    read,
    writer,
    schema: config.sessionSchema === undefined ? null : new SessionSchema(config.sessionSchema, log),
    newId: await fastifySessionIds(fastify, () => keyring.signer),
    changesCookie: backend.changesCookie,
    cookieValue: (id, stored, request) => backend.cookieValue(id, stored, profileOf(request).name),
    handleOf,
    take: (stored, prefix) => guarded('take', () => backend.take(stored, prefix)),
    assertDeliverable: (request) => { assertDeliverable(profileOf(request), request) },
    sendCookie: (session, reply) => { cookie.send(session, reply) },
    hasFormerCookies: formerCookies.length > 0,
    sendLastCookie: (session, reply) => { cookie.sendLast(session, reply) },
    describeCookie: (session) => cookie.describe(session)
  }

  return {
    keyring,
    context: oldSessions === null ? context : { ...context, find: createAdoption({ oldSessions, context: { ...context, maxBytes: adoptableBytes }, isRefused }) },
    outside: {
      ...context,
      backend,
      emitter,
      cookie,
      profileOf,
      ticketsIn: (header, name) => ticketsIn(header, name, backend.verifier, formerNames),
      findAmong
    },
    oldSessions,
    stop () {
      upkeep.stop()
      keyring.stop()
      oldSessions?.stop()
    }
  }
}
