import { Type, type Static, type TSchema } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyPluginAsync, type FastifyRequest, type FastifyTypeProvider, type RawServerDefault, type Session } from 'fastify'
import * as v from 'valibot'
import { z } from 'zod'
import hatcheck, { nextPageOf, refuseCrossOrigin, requireLogin, type Authenticate, type SessionTypes } from '../app.js'
import hatcheckSession from '../plugins/session/standalone.js'
import { visitor, type Visitor } from '../plugins/testing/index.js'

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

/** As @fastify/type-provider-typebox has it. */
interface TypeBoxProvider extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

/** As fastify-type-provider-zod has it. */
interface ZodProvider extends FastifyTypeProvider {
  readonly validator: this['schema'] extends z.ZodType ? z.output<this['schema']> : unknown
  readonly serializer: this['schema'] extends z.ZodType ? z.input<this['schema']> : unknown
}

app.register(async (scope) => {
  const shop = scope.withTypeProvider<SessionTypes<typeof cart, TypeBoxProvider>>()
  const body = Type.Object({ item: Type.String() })
  shop.post('/', { schema: { body, response: { 200: Type.Array(Type.String()) } } }, async ({ session, body }) => {
    session.cart = [body.item]
    // @ts-expect-error
    session.cart = 5
    // @ts-expect-error
    session.cart = [body.amount]
    return session.cart
  })
  // @ts-expect-error
  shop.get('/', { schema: { response: { 200: Type.Array(Type.String()) } } }, async ({ session }) => session.limit)
  await shop.register(routes)
})

/** Routes in a file of their own. */
const routes: FastifyPluginAsync<object, RawServerDefault, SessionTypes<typeof game, ZodProvider>> = async (arcade) => {
  const params = z.object({ score: z.coerce.number() })
  arcade.get('/:score', { schema: { params }, onRequest: requireLogin }, async ({ session, params }, reply) => {
    session.score = params.score
    // @ts-expect-error
    session.score = String(params.score)
    // @ts-expect-error
    session.score = params.points
    // @ts-expect-error
    reply.request.session.score = 'high'
    return session.score
  })
  const other = arcade.withTypeProvider<ZodProvider>()
  // @ts-expect-error -- another type provider replaces it
  other.get('/', async ({ session }) => session.score)
}

export async function outside (shop: FastifyInstance): Promise<unknown[]> {
  const typed = shop.withTypeProvider<SessionTypes<typeof cart, ZodProvider>>()
  await typed.sessions.begin('Harry', { data: { cart: [] } })
  // @ts-expect-error
  await typed.sessions.begin('Harry', { data: { cart: 5 } })
  // @ts-expect-error
  await typed.sessions.begin('Harry', { data: { score: 5 } })
  const read = await typed.sessions.read('')
  const apples: string[] | undefined = read?.data.cart
  // @ts-expect-error
  const wrong: number | undefined = read?.data.cart

  const harry = await visitor(typed).login('Harry', { cart: ['apple'] })
  // @ts-expect-error
  await harry.login('Harry', { cart: 5 })
  // @ts-expect-error
  await harry.login('Harry', { score: 5 })
  await harry.edit((session) => {
    session.cart = ['apple']
    delete session.cart
    // @ts-expect-error
    session.cart = 5
    // @ts-expect-error
    session.score = 5
  })
  const pears: string[] | undefined = (await harry.session()).cart
  // @ts-expect-error
  const count: number | undefined = (await harry.session()).cart

  const sally: Visitor = visitor(shop)
  // @ts-expect-error
  await sally.login('Sally', { cart: [] })
  const values: Session = await sally.session()
  helperOf(typed)
  // @ts-expect-error
  visitor({})
  return [apples, wrong, pears, count, values, await visitor(typed.withTypeProvider<SessionTypes<typeof game>>()).edit((session) => { session.cart = 5 })]
}

function helperOf (app: FastifyInstance): string {
  return app.prefix
}

function helper (request: FastifyRequest): string | undefined {
  return request.session.client_name
}

/** An application over HTTP/2 has the same guards. */
const secure = Fastify({ http2: true })
secure.get('/', { onRequest: [requireLogin, refuseCrossOrigin] }, async (request) => [request.user?.name, nextPageOf(request)])
secure.addHook('preHandler', requireLogin)

/** A lookup that finds nobody may answer undefined. */
export const lookup: Authenticate = (name) => [{ name: 'Harry' }].find((user) => user.name === name)

app.register(async (scope) => {
  // With a schema, the values of a user are checked by it.
  await scope.register(hatcheck, { secretKey: '', sessionSchema: cart, authenticate: async (name, password, request) => request.ip === password ? { name, data: { cart: ['apple'] } } : null })
  await scope.register(hatcheck, { secretKey: '', authenticate: (name) => ({ name, data: { authenticatedAt: 5 } }) })
  // @ts-expect-error -- a value that interface Session does not have
  await scope.register(hatcheck, { secretKey: '', authenticate: (name) => ({ name, data: { cart: ['apple'] } }) })
  await scope.register(hatcheck, { secretKey: '', sessionSchema: cart })
  // @ts-expect-error -- hatcheck then keeps no accounts
  await scope.register(hatcheck, { secretKey: '', sessionSchema: cart, signup: 'open', authenticate: () => null })
})
