import type { FastifySchema } from 'fastify'
import { BODY_ERRORS, PAGE_ERRORS, exactly, json, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { LogoutUnconfirmedError } from '../../plugins/session/model/errors.js'

const tags = ['Login']
const LOGGED_OUT = exactly({ user: { type: 'null' } })

export const schemas = {
  get: {
    operationId: 'followLogout',
    tags,
    summary: 'Log out by link',
    description: 'Ends the session. If another site led here, the browser prefetches, loads a part of a page, or does not say where the request comes from, it shows a confirmation page instead. `HEAD` changes nothing.',
    response: {
      200: pageOrJson('The confirmation page; as JSON, the session has ended.', LOGGED_OUT),
      303: redirect('The session has ended.'),
      ...problems(...PAGE_ERRORS, LogoutUnconfirmedError)
    }
  },
  post: {
    operationId: 'logOut',
    tags,
    summary: 'Log out',
    description: 'Ends the session on the server and clears the cookie. Without a session it succeeds as well.',
    response: {
      200: json('The session has ended.', LOGGED_OUT),
      303: redirect('The session has ended.'),
      ...problems(...PAGE_ERRORS, ...BODY_ERRORS, LogoutUnconfirmedError)
    }
  }
} satisfies Record<string, FastifySchema>
