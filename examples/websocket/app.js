import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import hatcheck, { refuseCrossOrigin, requireLogin } from 'hatcheck'
import { WebSocketServer } from 'ws'
import { isSameHost } from './origin.js'
import { closeWithSessions } from './close-with-sessions.js'

const app = Fastify({ logger: true })
await app.register(websocket)
await app.register(hatcheck, {
  secretKey: process.env.SECRET_KEY,
  sessionStore: 'memory:',
  routes: ['login', 'logout'],
  // Replace this by a check of your own users.
  authenticate: async (name, password) => password === 'correct horse battery' ? { name } : null
})

const sockets = closeWithSessions(app.sessions)

// A socket in a route of Fastify has the session of its request.
app.get('/cart', { websocket: true, onRequest: [refuseCrossOrigin, requireLogin] }, (socket, request) => {
  const { user, session } = request
  // Before anything that waits: messages without a listener are lost.
  socket.on('message', async (item) => {
    try {
      // Other requests may have changed it since the handshake.
      await session.reload()
      session.cart = [...session.cart ?? [], String(item)]
      // No response follows that could store the change.
      await session.save()
      socket.send(`${user.name} has ${session.cart.join(', ')}`)
    } catch (error) {
      request.log.warn(error)
      socket.close(1011, 'not stored')
    }
  })
  sockets.add(socket, request.raw)
})

// A server beside Fastify, such as socket.io, reads the session with app.sessions.
const beside = new WebSocketServer({ port: Number(process.env.BESIDE_PORT ?? 0), verifyClient: ({ req }) => isSameHost(req.headers) })
beside.on('connection', async (socket, request) => {
  const session = await sockets.add(socket, request)
  if (session !== null) socket.send(`${session.user.name} has ${(session.data.cart ?? []).join(', ')}`)
})

app.get('/', async () => ({ cart: '/cart', besidePort: beside.address().port }))
app.addHook('onClose', async () => { beside.close() })

await app.listen({ port: Number(process.env.PORT ?? 3000) })
