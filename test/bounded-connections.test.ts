import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { boundConnections } from '../plugins/process/connections.js'

/** A server that takes three connections. It answers /wait when the test says so. */
async function startServer (t: Test) {
  const waiting: ServerResponse[] = []
  const server = createServer((request, response) => {
    if (request.url === '/wait') waiting.push(response)
    else response.end('done')
  })
  boundConnections(server, 3)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return {
    /** Connects, and waits until the server knows it. */
    async join (): Promise<Socket> {
      const accepted = once(server, 'connection')
      const socket = connect(port, '127.0.0.1')
      // The server resets some of them.
      socket.on('error', () => {})
      await accepted
      return socket
    },
    /** Sends a request whose answer must wait. */
    async ask (socket: Socket): Promise<void> {
      const asked = once(server, 'request')
      socket.write('GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await asked
    },
    answerAll () { for (const response of waiting) response.end('done') }
  }
}

/** Waits for an answer. Fails if the connection ends without it. */
function answerOn (socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('data', (answer) => { if (String(answer).includes('200 OK')) resolve() })
    socket.once('close', () => { reject(new Error('the connection has ended')) })
  })
}

async function exchange (socket: Socket): Promise<void> {
  const answer = answerOn(socket)
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await answer
}

test('at the limit, a new connection closes the oldest one that has sent no request', async (t) => {
  const { join } = await startServer(t)
  const [used, second, third] = [await join(), await join(), await join()]
  await exchange(used)
  for (const oldest of [second, third]) {
    const closed = once(oldest, 'close')
    const next = await join()
    await closed
    t.strictSame([used, oldest, next].map(({ destroyed }) => destroyed), [false, true, false])
  }
  await exchange(used)
})

test('if every connection has sent a request, a new one closes all that are idle, and no other', async (t) => {
  const { join, ask, answerAll } = await startServer(t)
  const [busy, ...idle] = [await join(), await join(), await join()]
  await ask(busy)
  for (const socket of idle) await exchange(socket)
  const closed = idle.map((socket) => once(socket, 'close'))
  const next = await join()
  await Promise.all(closed)
  await exchange(next)
  const answer = answerOn(busy)
  answerAll()
  await answer
  t.strictSame([busy, ...idle, next].map(({ destroyed }) => destroyed), [false, true, true, false])
})

test('if every connection waits for an answer, a new one closes the oldest', async (t) => {
  const { join, ask, answerAll } = await startServer(t)
  const [oldest, ...others] = [await join(), await join(), await join()]
  for (const socket of [oldest, ...others]) await ask(socket)
  const closed = once(oldest, 'close')
  const next = await join()
  await closed
  await exchange(next)
  const answers = others.map(answerOn)
  answerAll()
  await Promise.all(answers)
  t.strictSame([oldest, ...others, next].map(({ destroyed }) => destroyed), [true, false, false, false])
})
