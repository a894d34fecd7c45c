import { createHmac, createCipheriv, randomBytes } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { deriveKey } from '../../plugins/tickets/ticket.js'
import { cookiesSetBy } from '../clients/client.js'
import { buildHost, testKey } from '../helper.js'
import { fastFolder } from '../stores/fast-folder.js'
import { START } from '../time/units.js'

const SALT_BYTES = 24
/** Compressing a large payload takes longer than all requests with it. */
const BOMBS = 20

/** Deriving a key takes longer than a request. */
const keys = new Map<string, Buffer>()

function keyOf (secret: string, realm: string): Buffer {
  const name = JSON.stringify([secret, realm])
  const key = keys.get(name) ?? deriveKey(Buffer.from(secret), 'session in a cookie', realm)
  keys.set(name, key)
  return key
}

/** Seals any payload with the right key, as `createSealedCodec` does, without its checks. */
export function sealAnything (payload: Buffer, { secret = testKey, name = 'hatcheck', realm = 'hatcheck', version = 1 } = {}): string {
  const salt = randomBytes(SALT_BYTES)
  const made = createHmac('sha512', keyOf(secret, realm)).update(salt).digest()
  const cipher = createCipheriv('aes-256-gcm', made.subarray(0, 32), made.subarray(32, 44)).setAAD(Buffer.from(`hatcheck session 1\0${name}\0${realm}`))
  return Buffer.concat([Buffer.of(version), salt, cipher.update(payload), cipher.final(), cipher.getAuthTag()]).toString('base64url')
}

/** A payload that unpacks to a valid session with a field of this many bytes. */
export function bomb (bytes: number): Buffer {
  const time = Date.now()
  const text = `${JSON.stringify([randomBytes(32).toString('base64url'), time, time, time + 60_000, time + 60_000, false, 'Mallory', 0])}\nclient_name\n"Mallory"\nfill\n"${'0'.repeat(bytes)}"`
  return Buffer.concat([Buffer.of(1), deflateRawSync(text, { level: 9 })])
}

/** Sends this many forged, truncated, changed, expired, swapped, re-used and overlong cookies; none opens anything. */
export async function sendForgedCookies (t: Test, count: number): Promise<void> {
  const time = { now: START }
  const options = { sessionStore: `cookie:lmdb:${fastFolder(t)}`, now: () => time.now }
  const [fastify, shop] = await Promise.all([options, { ...options, realm: 'shop', sessionCookieName: 'shop' }].map(async (options) => {
    const fastify = await buildHost(t, options, { logger: false })
    fastify.post('/login', async (request) => { await request.login('Harry') })
    fastify.post('/logout', async (request) => { await request.logout() })
    fastify.get('/', async (request) => request.user?.name ?? 'nobody')
    return fastify
  })) as [FastifyInstance, FastifyInstance]
  const valueOf = async (app: FastifyInstance): Promise<string> => cookiesSetBy(await app.inject({ method: 'POST', url: '/login' }))[0]?.value ?? ''
  const userAt = async (value: string): Promise<[number, string]> => {
    const { statusCode, body } = await fastify.inject({ url: '/', headers: { cookie: `hatcheck=${value}` } })
    return [statusCode, body]
  }

  const expired = await valueOf(fastify)
  time.now += 3_600_000
  const [ended, live, other, foreign] = [await valueOf(fastify), await valueOf(fastify), await valueOf(fastify), await valueOf(shop)]
  await fastify.inject({ method: 'POST', url: '/logout', headers: { cookie: `hatcheck=${ended}` } })
  t.strictSame(await userAt(live), [200, 'Harry'])

  const at = (i: number, length: number): number => (i * 7_919) % length
  const bombs = Array.from({ length: BOMBS }, (_, i) => bomb(60_000 + at(i, 1_000_000)))
  const harmless = bomb(100)
  const bytesOf = (value: string): Buffer => Buffer.from(value, 'base64url')
  const kinds: Array<(i: number) => string> = [
    (i) => randomBytes(30 + at(i, 500)).toString('base64url'),
    (i) => live.slice(0, at(i, live.length)),
    (i) => live.slice(1 + at(i, live.length - 1)),
    (i) => {
      const bytes = bytesOf(live)
      const place = at(i, bytes.length)
      bytes[place] = (bytes[place] as number) ^ (1 << (i % 8))
      return bytes.toString('base64url')
    },
    (i) => live.slice(0, 40 + at(i, 100)) + other.slice(40 + at(i, 100)),
    (i) => `${live}${'A'.repeat(1 + (i % 9))}`,
    (i) => sealAnything(Buffer.concat([Buffer.of(i % 4), randomBytes(at(i, 200))])),
    (i) => sealAnything(bombs[i % BOMBS] as Buffer),
    () => sealAnything(harmless, { name: 'shop' }),
    () => sealAnything(harmless, { realm: 'shop' }),
    () => sealAnything(harmless, { secret: `${testKey} of another` }),
    (i) => sealAnything(harmless, { version: 2 + (i % 250) }),
    () => foreign,
    () => expired,
    () => ended,
    (i) => 'A'.repeat(4_000 + at(i, 4_000))
  ]
  let [faults, sent] = [0, 0]
  for (let i = 0; sent < count; i++) {
    const values = kinds.map((kind) => kind(i)).filter((value) => value !== live && value !== other)
    for (const value of values) {
      const [status, body] = await userAt(value)
      if (status === 200 && body === 'nobody') continue
      if (faults++ === 0) t.fail(`${status} ${body}: ${value}`)
    }
    sent += values.length
  }
  t.equal(faults, 0)
  t.strictSame(await userAt(live), [200, 'Harry'], 'the cookie that they were made of is still good')
}
