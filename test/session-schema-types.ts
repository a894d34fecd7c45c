import Fastify, { type FastifyRequest } from 'fastify'
import * as v from 'valibot'
import { z } from 'zod'
import { requireLogin, type SessionTypes } from '../app.js'
import hatcheckSession from '../plugins/session/standalone.js'

// Compiled by `tsc -p test`, never run: what a schema allows, and what must not compile.

const cart = z.object({ cart: z.array(z.string()).optional(), limit: z.coerce.number().default(3), at: z.string().transform(Number) })
export const game = v.object({ score: v.optional(v.number()), cart: v.number() })

const app = Fastify()

app.register(async (scope) => {
  const shop = scope.withTypeProvider<SessionTypes<typeof cart>>()
  await shop.register(hatcheckSession, { secretKey: '', sessionSchema: cart })
  shop.addHook('onRequest', requireLogin)
  shop.addHook('preHandler', async ({ session }) => { session.cart?.push('apple') })
  shop.get('/', { onRequest: [requireLogin, async (request) => { request.session.cart = ['apple'] }] }, async (request, reply) => {
    const { session } = request
    const apples: string[] | undefined = session.cart
    const at: string | undefined = session.at
    session.cart = ['apple']
    session.update({ cart: [], at: '5' })
    session.set('cart', undefined)
    const popped: string[] | null = session.pop('cart', null)
    const who: string | undefined = session.client_name
    // @ts-expect-error
    session.cart = 5
    // @ts-expect-error
    session.cart.push('apple')
    // @ts-expect-error
    session.at = 5
    // @ts-expect-error
    session.score = 5
    // @ts-expect-error
    session.update({ cart: 5 })
    // @ts-expect-error
    session.set('score', 5)
    // @ts-expect-error
    const wrong: number = session.cart
    // @ts-expect-error
    reply.request.session.cart = 5
    const loaded = await request.loadSession()
    // @ts-expect-error
    loaded.cart = 5
    await request.login('Harry', { data: { cart: [] } })
    // @ts-expect-error
    await request.login('Harry', { data: { cart: 5 } })
    helper(request)
    return [apples, at, popped, who, wrong]
  })
})

app.register(async (scope) => {
  const arcade = scope.withTypeProvider<SessionTypes<typeof game>>()
  arcade.get('/', async ({ session }) => {
    session.cart = 5
    session.score = 5
    // @ts-expect-error
    session.cart = ['apple']
  })
})

function helper (request: FastifyRequest): string | undefined {
  return request.session.client_name
}
