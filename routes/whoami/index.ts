import type { FastifyInstance, FastifySchema } from 'fastify'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { USER, exactly, json, problems } from '../../plugins/openapi/answers.js'
import { iso } from '../sessions/time.js'

const schema = {
  operationId: 'whoAmI',
  tags: ['Forward auth'],
  summary: 'Who is logged in',
  description: 'For gateways that take every 200 for a yes and read who it is from the body. `/session` answers a stranger with 200.',
  response: { 200: json('Somebody is logged in.', exactly({ user: USER })), ...problems(LoginRequiredError) }
} satisfies FastifySchema

export default async function whoami (fastify: FastifyInstance): Promise<void> {
  // An application has routes of its own for its users.
  if (fastify.hatcheck.config.mode === 'plugin') return
  // A 401 is nothing for the audit log: a gateway asks for every visitor.
  fastify.get('/whoami', { schema }, (request, reply) => {
    const { user } = request
    if (user === null) throw new LoginRequiredError()
    reply.send({ user: { name: user.name, authenticatedAt: iso(user.authenticatedAt) } })
  })
}
