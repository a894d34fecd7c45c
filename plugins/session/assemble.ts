import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../config/resolve.js'
import type { Cookies } from '../cookies/index.js'
import type { StorageGroup } from '../storage/index.js'
import { openKeyring, type Keyring } from '../tickets/keyring.js'
import type { Ticket } from '../tickets/ticket.js'
import type { Workers } from '../workers/index.js'
import { createAdoption } from './adoption/adopt.js'
import { OldSessions } from './adoption/old-sessions.js'
import { AnonymousLimit } from './backend/anonymous-limit.js'
import { Ender } from './backend/end.js'
import { SessionEmitter } from './backend/events.js'
import { createFinder } from './backend/find.js'
import { bytesThatFit, inCookie } from './backend/in-cookie.js'
import { inStore } from './backend/in-store.js'
import { startUpkeep } from './backend/upkeep.js'
import { Writer } from './backend/write.js'
import { assertDeliverable, cookieProfiles } from './cookie/cookie-profile.js'
import { SessionCookie } from './cookie/cookie.js'
import { ticketReader, ticketsIn } from './cookie/ticket-reader.js'
import { fastifySessionIds } from './fastify-session-ids.js'
import { SessionSchema } from './model/schema.js'
import type { Outside } from './outside/outside.js'
import type { SessionContext } from './request/context.js'

/** The groups from which the sessions are assembled. */
export interface SessionParts {
  config: Config
  storage: StorageGroup
  cookies: Cookies
  workers: Workers
}

interface Assembled {
  readonly keyring: Keyring
  /** The parts that the session of a request uses. */
  readonly context: SessionContext
  /** The functions for sessions without a request. */
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
  const finder = createFinder({ backend, lifetimes, now, ticketsOf, isRefused })
  const anonymousLimit = new AnonymousLimit(config.anonymousSessionsPerMinute, now)
  const writer = new Writer({ backend, emitter, upkeep, sessionsPerUser: config.sessionsPerUser, anonymousLimit, ticketOf })
  const ender = new Ender({ backend, emitter, upkeep, ticketsOf, oldSessions })

  const rules = { lifetimes, maxBytes: config.sessionMaxBytes, anonymousSessions: config.anonymousSessions, now }
  const assertCookieDeliverable = (request: FastifyRequest): void => { assertDeliverable(profileOf(request), request) }
  const find = oldSessions === null
    ? finder.find
    : createAdoption({ oldSessions, finder, writer, rules: { ...rules, maxBytes: adoptableBytes }, assertDeliverable: assertCookieDeliverable, isRefused })

  const context: SessionContext = {
    ...rules,
    find,
    read: finder.read,
    writer,
    ender,
    cookie,
    schema: config.sessionSchema === undefined ? null : new SessionSchema(config.sessionSchema, log),
    newId: await fastifySessionIds(fastify, () => keyring.signer),
    changesCookie: backend.changesCookie,
    remembersEnds: backend.remembersEnds,
    cookieValue: (id, stored, request) => backend.cookieValue(id, stored, profileOf(request).name),
    handleOf,
    assertDeliverable: assertCookieDeliverable
  }

  return {
    keyring,
    context,
    outside: {
      ...context,
      backend,
      emitter,
      profileOf,
      ticketsIn: (header, name) => ticketsIn(header, name, backend.verifier, formerNames),
      findAmong: finder.findAmong
    },
    oldSessions,
    stop () {
      upkeep.stop()
      keyring.stop()
      oldSessions?.stop()
    }
  }
}
