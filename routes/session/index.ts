import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { expiryOf } from '../../plugins/common/lifetimes.js'
import { iso } from '../../plugins/common/iso.js'
import { LOGIN_TIME_FIELD, USER_FIELD } from '../../plugins/store/identity.js'
import { SessionValueError } from '../../plugins/session/model/errors.js'
import { assertEntry } from '../../plugins/session/model/fields.js'
import type { Session } from '../../plugins/session/request/session.js'
import { userJson } from '../../plugins/session/model/user.js'
import { IdentityKeyError, NoSuchKeyError } from './errors.js'
import { readValues } from './json-body.js'
import { schemas } from './schemas.js'

/** The keys of the session that are not data: the user, and the time of the login. */
const IDENTITY: ReadonlySet<string> = new Set([USER_FIELD, LOGIN_TIME_FIELD])

/** JSON that escapes all but ASCII, as Python's does, is up to three times as long as what is stored. */
const BODY_PER_STORED_BYTE = 3

type WithKey = { Params: { key: string } }

/**
 * Gives programs in any language the session: the user, the times and the values. It must never be a route of an application: its
 * handlers trust the values of a session, so its client must not write them.
 */
export default async function session (fastify: FastifyInstance): Promise<void> {
  const { config, http: { handleError }, session: { handleFor, sessionOf } } = fastify.hatcheck
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
      user: user === null ? null : userJson(user),
      createdAt: record === null ? null : iso(record.createdAt),
      expiresAt: record === null ? null : iso(expiryOf(record, config.lifetimes)),
      permanent: session.permanent,
      handle: handleFor(request) ?? null,
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
