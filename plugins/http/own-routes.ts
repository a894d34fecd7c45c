import type { FastifyInstance } from 'fastify'
import { parse } from 'node:querystring'
import { unlessInstalled } from '../common/not-installed.js'
import { completeHead } from '../session/cookie/head.js'
import { ignoreTypeOfMissingBody } from './missing-body.js'

/** The longest body of a form, in bytes: much more than names, three long passwords and an address need. */
export const BODY_LIMIT = 16_384

/** Gives a scope what hatcheck's own routes have in common, and no route of an application. */
export async function prepareOwnRoutes (scope: FastifyInstance): Promise<void> {
  const { http: { secureHeaders, handleError }, guards: { refusalOf, noteUntrustedProxy, crossOriginError, contentCodingError, otherMethods }, openapi } = scope.hatcheck
  scope.setErrorHandler(handleError)
  openapi.describeRoutes(scope)
  if (otherMethods !== undefined) scope.addHook('onRoute', otherMethods.noteRoute)
  // With a callback: it runs for every request, and a promise costs more than the checks.
  scope.addHook('onRequest', function guard (request, reply, done) {
    secureHeaders(request, reply)
    // A refusal has not read the session: a hook of the application could let a cache keep it.
    completeHead(reply)
    noteUntrustedProxy(request)
    ignoreTypeOfMissingBody(request)
    const error = refusalOf(request) ?? crossOriginError(request) ?? contentCodingError(request)
    if (error === null) done()
    else done(error)
  })
  // Those of the application are for its own routes: a parser of uploads, for example, reads bodies of any size.
  scope.removeAllContentTypeParsers()
  readJson(scope)
  const { default: formbody } = await import('@fastify/formbody').catch(unlessInstalled('@fastify/formbody'))
  await scope.register(formbody, { parser: parseForm })
}

/**
 * Reads JSON. An empty body is no body, also if only its end tells that it is empty (`Transfer-Encoding: chunked`): some programs send
 * the type of JSON with every request, a logout among them.
 */
function readJson (scope: FastifyInstance): void {
  const parse = scope.getDefaultJsonParser('error', 'error')
  scope.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') done(null)
    else parse(request, text, done)
  })
}

/**
 * Parses a form. As in raw bytes, what is not UTF-8 becomes a replacement character, which names and passwords refuse. The parser of
 * `@fastify/formbody` would leave the escapes, which a user can type as well.
 */
function parseForm (text: string): Record<string, unknown> {
  return parse(text, undefined, undefined, { maxKeys: 0 })
}
