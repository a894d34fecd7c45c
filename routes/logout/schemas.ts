import type { FastifySchema } from 'fastify'
import { CrossOriginError } from '../../plugins/guards/cross-origin.js'
import { BODY_ERRORS, exactly, json, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { LogoutUnconfirmedError } from '../../plugins/session/errors.js'

const tags = ['Login']
const NOBODY = exactly({ user: { type: 'null' } })

export const schemas = {
  get: {
    operationId: 'followLogout',
    tags,
    summary: 'Log out by a link',
    description: 'Ends the session, unless another site has led here or the browser looks ahead: then it asks first. `HEAD` changes nothing.',
    response: {
      200: pageOrJson('A page that asks; or nobody is logged in now.', NOBODY),
      303: redirect('Nobody is logged in now.'),
      ...problems(CrossOriginError, LogoutUnconfirmedError)
    }
  },
  post: {
    operationId: 'logOut',
    tags,
    summary: 'Log out',
    description: 'Ends the session for good.',
    response: {
      200: json('Nobody is logged in now.', NOBODY),
      303: redirect('Nobody is logged in now.'),
      ...problems(...BODY_ERRORS, CrossOriginError, LogoutUnconfirmedError)
    }
  }
} satisfies Record<string, FastifySchema>
