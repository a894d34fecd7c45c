import formbody from '@fastify/formbody'
import { Authenticator } from '@fastify/passport'
import Fastify from 'fastify'
import hatcheck, { refuseCrossOrigin, requireLogin } from 'hatcheck'
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { Strategy } from 'passport-local'

const hashOf = promisify(scrypt)
const salt = randomBytes(16)
const users = new Map([['Harry', await hashOf('correct horse battery', salt, 32)]])

const app = Fastify({ logger: true })
await app.register(formbody)
await app.register(hatcheck, {
  secretKey: process.env.SECRET_KEY,
  sessionStore: 'memory:',
  // Passport has request.user, request.login, request.logout and request.flash.
  decorators: { user: 'sessionUser', login: 'beginSession', logout: 'endSession', flash: false, flashes: false }
})

const passport = new Authenticator()
await app.register(passport.initialize())
passport.use('local', new Strategy(async (username, password, done) => {
  try {
    const hash = await hashOf(password, salt, 32)
    done(null, timingSafeEqual(hash, users.get(username) ?? randomBytes(32)) ? { name: username } : false)
  } catch (error) {
    done(error)
  }
}))

// Passport checks the password; `session: false` leaves the login to hatcheck.
app.post('/login', { onRequest: refuseCrossOrigin, preValidation: passport.authenticate('local', { session: false }) }, async (request) => {
  await request.beginSession(request.user.name)
  return `Hello ${request.user.name}\n`
})

app.post('/logout', { onRequest: refuseCrossOrigin }, async (request) => {
  await request.endSession()
  return 'Goodbye\n'
})

app.post('/logout-everywhere', { onRequest: [refuseCrossOrigin, requireLogin] }, async (request) =>
  `${await app.sessions.revokeUser(request.sessionUser.name)} sessions ended\n`)

// beginSession keeps the values of the anonymous session, so the cart survives the login.
app.post('/cart', { onRequest: refuseCrossOrigin }, async (request) => {
  request.session.cart = [...request.session.cart ?? [], request.body.item]
  return request.session.cart
})

app.get('/orders', { onRequest: requireLogin }, async (request) => ({ user: request.sessionUser.name, cart: request.session.cart ?? [] }))

await app.listen({ port: Number(process.env.PORT ?? 3000) })
