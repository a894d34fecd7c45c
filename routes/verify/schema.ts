import type { FastifySchema } from 'fastify'
import { TooManyLinesError } from '../../plugins/guards/host-header.js'
import { OverloadedError } from '../../plugins/guards/overload.js'
import { LoginRequiredError } from '../../plugins/login/errors.js'
import { nothing, problems, redirect, withHeaders } from '../../plugins/openapi/answers.js'
import { StoreUnavailableError } from '../../plugins/store/errors.js'
import { NotAllowedError, VerifyQueryError } from './errors.js'

export const schema = {
  operationId: 'verify',
  tags: ['Forward auth'],
  summary: 'Check whether a request may pass',
  description: 'A proxy asks before it passes a request on; it must let the request pass on 204 only. Every method has the same answer, and the body is ignored.',
  querystring: {
    type: 'object',
    additionalProperties: false,
    properties: { user: { type: 'string', description: 'The users who may pass: names separated by commas, each percent-encoded. Without it, every logged-in user may pass.' } }
  },
  headers: {
    type: 'object',
    properties: {
      'X-Forwarded-Uri': { type: 'string', description: 'The URI of the original request, from a trusted proxy: where a browser goes on to after the login.' },
      'X-Forwarded-Method': { type: 'string', description: 'The method of the original request: only `GET` and `HEAD` are redirected to the login page.' }
    }
  },
  response: withHeaders({
    'Remote-User': { type: 'string', description: 'The name of the user, percent-encoded outside visible ASCII. Empty unless the answer is a 204.' },
    'Remote-Session': { type: 'string', description: 'The handle of the session. Empty unless the answer is a 204.' }
  }, {
    204: nothing('The user is logged in and may pass.'),
    303: redirect('A browser is redirected to the login page.'),
    ...problems(VerifyQueryError, LoginRequiredError, NotAllowedError, TooManyLinesError, OverloadedError, StoreUnavailableError)
  })
} satisfies FastifySchema
