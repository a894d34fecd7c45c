import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isUtf8 } from 'node:buffer'
import { expiryOf } from '../../plugins/common/clock.js'
import { SessionTooLargeError } from '../../plugins/store/errors.js'
import { LOGIN_TIME_FIELD, USER_FIELD } from '../../plugins/store/identity.js'
import { SessionValueError } from '../../plugins/session/errors.js'
import { assertEntry } from '../../plugins/session/fields.js'
import type { Session } from '../../plugins/session/session.js'
import { iso } from '../sessions/time.js'
import { IdentityKeyError, NoSuchKeyError } from './errors.js'
import { schemas } from './schemas.js'

/** The keys of the session that are not data: the user, and the time of the login. */
const IDENTITY: ReadonlySet<string> = new Set([USER_FIELD, LOGIN_TIME_FIELD])

/** JSON that escapes all but ASCII, as Python's does, is up to three times as long as what is stored. */
const BODY_PER_STORED_BYTE = 3

type WithKey = { Params: { key: string } }

/** Gives programs in any language the session: the user, the times and the values. */
export default async function session (fastify: FastifyInstance): Promise<void> {
  const { config, http: { handleError }, session: { handleOf, sessionOf } } = fastify.hatcheck
  // The handlers of an application trust the values of a session, so its client must not write them.
  if (config.mode === 'plugin') return
  const bodyLimit = BODY_PER_STORED_BYTE * config.sessionMaxBytes
  // A form has no types: "1" would come back as text.
  fastify.removeContentTypeParser('application/x-www-form-urlencoded')
  readValues(fastify, config.sessionMaxBytes)

  fastify.get('/session', { schema: schemas.all }, async (request) => {
    const session = sessionOf(request)
    const { stored, user } = session
    const record = stored?.record ?? null
    const data = session.toObject()
    for (const key of IDENTITY) Reflect.deleteProperty(data, key)
    return {
      user: user === null ? null : { name: user.name, authenticatedAt: iso(user.authenticatedAt) },
      createdAt: record === null ? null : iso(record.createdAt),
      expiresAt: record === null ? null : iso(expiryOf(record, config.lifetimes)),
      permanent: session.permanent,
      handle: handleOf(request) ?? null,
      data
    }
  })

  fastify.get<WithKey>('/session/:key', { schema: schemas.get }, async (request, reply) => sendJson(reply, valueOf(sessionOf(request), request.params.key)))

  fastify.put<WithKey>('/session/:key', { schema: schemas.put, bodyLimit, onRequest: keepIdentity, errorHandler: blameCaller }, async (request, reply) => {
    const session = sessionOf(request)
    const { params: { key }, body } = request
    if (body === undefined) throw new SessionValueError('the body', 'missing')
    const isNew = !session.has(key)
    assertEntry(key, body)
    session.put(key, body)
    await save(request, session)
    return await reply.code(isNew ? 201 : 204).send()
  })

  fastify.delete<WithKey>('/session/:key', { schema: schemas.delete, bodyLimit, onRequest: keepIdentity }, async (request, reply) => {
    const session = sessionOf(request)
    const { key } = request.params
    const value = valueOf(session, key)
    session.delete(key)
    await save(request, session)
    return sendJson(reply, value)
  })

  /** An invalid key or value is a bug of the program if a handler sets it (500); here it is the client's mistake (400). */
  function blameCaller (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
    if (error.code === 'HATCHECK_SESSION_KEY' || error.code === 'HATCHECK_SESSION_VALUE') error.statusCode = 400
    handleError(error, request, reply)
  }
}

/** Strings, so that digits in them are passed over, and numbers. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs
const INTEGER = /^-?\d+(?:\.0*)?$/
/** Escaped characters and white space take fewer bytes once stored. */
const ESCAPE = /\\u[\da-f]{4}/gi
const SPACE = /[ \t\r\n]+/g

/**
 * Reads JSON. It refuses JSON that is too long for a session, bytes that are not UTF-8, and integers beyond 2^53, which other
 * languages have and which would come back with other digits. The body of a DELETE is ignored.
 */
function readValues (fastify: FastifyInstance, maxBytes: number): void {
  const parse = fastify.getDefaultJsonParser('error', 'error')
  fastify.removeContentTypeParser('application/json')
  fastify.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    if (request.method === 'PUT' && !isUtf8(bytes)) {
      done(new SessionValueError('the body', 'not UTF-8'))
      return
    }
    const json = bytes.toString()
    const length = request.method === 'PUT' && json.length > maxBytes ? json.replace(ESCAPE, '_').replace(SPACE, '').length : 0
    if (length > maxBytes) {
      done(new SessionTooLargeError(length, maxBytes))
      return
    }
    parse(request, json, (error, value) => {
      const losesDigits = error === null && request.method === 'PUT' && hasUnsafeInteger(json)
      done(losesDigits ? new SessionValueError('the body', 'or has an integer beyond 2^53 - 1, which would lose digits (send it as text)') : error, value)
    })
  })
}

/** @param json that is well-formed */
function hasUnsafeInteger (json: string): boolean {
  for (const [token] of json.matchAll(STRING_OR_NUMBER)) if (INTEGER.test(token) && !Number.isSafeInteger(Number(token))) return true
  return false
}

async function keepIdentity (request: FastifyRequest): Promise<void> {
  if (IDENTITY.has((request as FastifyRequest<WithKey>).params.key)) throw new IdentityKeyError()
}

/** @throws NoSuchKeyError */
function valueOf (session: Session, key: string): unknown {
  // The user comes from the login, not from a value that something else has written under this key.
  const value = IDENTITY.has(key) ? identityOf(session)[key] : session.get(key)
  if (value === undefined) throw new NoSuchKeyError()
  return value
}

function identityOf ({ user }: Session): Record<string, unknown> {
  return user === null ? {} : { [USER_FIELD]: user.name, [LOGIN_TIME_FIELD]: user.authenticatedAt }
}

/** Stores the session before the answer, which tells the result. */
async function save (request: FastifyRequest, session: Session): Promise<void> {
  try {
    await request.session.save()
  } catch (error) {
    // After an error, the change must not be stored with the response.
    session.dropChanges()
    throw error
  }
}

/** Sends JSON with its type: by itself Fastify sends a string as text, and null as no body. */
function sendJson (reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(value))
}
