import type { FastifyInstance, FastifySchema } from 'fastify'
import { LoginRequiredError } from '../../plugins/login/errors.js'
import { SERVICE_ERRORS, USER, exactly, json, problems } from '../../plugins/openapi/answers.js'
import { userJson } from '../../plugins/session/model/user.js'
import { StoreUnavailableError } from '../../plugins/store/errors.js'

const schema = {
  operationId: 'whoAmI',
  tags: ['Forward auth'],
  summary: 'Get the user, or 401',
  description: 'For gateways that let a request pass on any 200 and read the user from the body. `/session` answers 200 without a login as well.',
  response: { 200: json('The user of the session.', exactly({ user: USER })), ...problems(...SERVICE_ERRORS, LoginRequiredError, StoreUnavailableError) }
} satisfies FastifySchema

/** Tells a gateway who the user is. */
export default async function whoami (fastify: FastifyInstance): Promise<void> {
  const { session: { loggedIn }, http } = fastify.hatcheck
  // A gateway asks for every request to the application, and a visitor without a login is normal: neither is logged.
  fastify.get('/whoami', { schema, ...http.quiet, config: { usualRefusals: [401] } }, (request, reply) => {
    const user = loggedIn(request)
    if (user === null) throw new LoginRequiredError()
    reply.send({ user: userJson(user) })
  })
}
