import type { FastifySchema } from 'fastify'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { nothing, problems, redirect, withHeaders } from '../../plugins/openapi/answers.js'
import { NotAllowedError, VerifyQueryError } from './errors.js'

export const schema = {
  operationId: 'verify',
  tags: ['Forward auth'],
  summary: 'May this request pass?',
  description: 'For a proxy, before it passes a request on. Only 204 may open anything. Every method has the same answer; headers and body of the request decide nothing.',
  querystring: {
    type: 'object',
    additionalProperties: false,
    properties: { user: { type: 'string', description: 'Who may pass: names separated by commas, each of them percent-encoded. Without it, whoever is logged in.' } }
  },
  headers: {
    type: 'object',
    properties: {
      'X-Forwarded-Uri': { type: 'string', description: 'Of the original request, from a proxy that is trusted: where a browser goes on to after the login.' },
      'X-Forwarded-Method': { type: 'string', description: 'Of the original request: only `GET` and `HEAD` are led to the login page.' }
    }
  },
  response: withHeaders({
    'Remote-User': { type: 'string', description: 'Who is logged in, percent-encoded outside visible ASCII. Empty for nobody.' },
    'Remote-Session': { type: 'string', description: 'The handle of the session. Empty for nobody.' }
  }, {
    204: nothing('Somebody is logged in, and may pass.'),
    303: redirect('To the login page, for a browser.'),
    ...problems(VerifyQueryError, LoginRequiredError, NotAllowedError)
  })
} satisfies FastifySchema
