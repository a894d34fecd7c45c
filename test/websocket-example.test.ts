import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'tap'
import { checkout } from './processes/child.js'

const example = async (file: string): Promise<Record<string, (...given: unknown[]) => unknown>> =>
  await import(pathToFileURL(join(checkout, 'examples/websocket', file)).href)

test('the server beside Fastify takes handshakes of its own host and of programs, and an invalid Host is no error', async (t) => {
  const { isSameHost } = await example('origin.js')
  const handshakes: Array<[origin: string | undefined, host: string | undefined, isTaken: boolean]> = [
    [undefined, 'a.example', true], ['https://a.example', 'a.example:3001', true], ['http://[::1]:3000', '[::1]:3001', true],
    ['https://b.example', 'a.example', false], ['https://a.example.b.example', 'a.example', false], ['null', 'a.example', false], ['', 'a.example', false],
    ...['%zz', '', 'a b', '[', 'a:99999', '//'].map((host): [string, string, boolean] => ['https://a.example', host, false]),
    ['https://a.example', undefined, false]
  ]
  for (const [origin, host, isTaken] of handshakes) t.equal(isSameHost?.({ origin, host }), isTaken, `${origin} to ${host}`)
})

test('a session that ends during the handshake closes the socket', async (t) => {
  const { closeWithSessions } = await example('close-with-sessions.js')
  let hasEnded = false
  const read = async (): Promise<object | null> => {
    if (hasEnded) return null
    hasEnded = true
    return { handle: 'handle', user: { name: 'Harry' } }
  }
  const { add } = closeWithSessions?.({ on () {}, read }) as { add (socket: object, request: object): Promise<null> }
  const codes: number[] = []
  const socket = Object.assign(new EventEmitter(), { close (code: number) { codes.push(code) } })
  t.equal(await add(socket, {}), null)
  t.strictSame(codes, [4401])
})

test('an invalid frame on a socket does not end the process', async (t) => {
  const { closeWithSessions } = await example('close-with-sessions.js')
  const { add } = closeWithSessions?.({ on () {}, read: async () => null }) as { add (socket: object, request: object): Promise<null> }
  const socket = Object.assign(new EventEmitter(), { close () {} })
  const added = add(socket, {})
  t.doesNotThrow(() => socket.emit('error', new RangeError('Invalid WebSocket frame')))
  t.equal(await added, null)
})
