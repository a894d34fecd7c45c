import { test } from 'tap'
import { deflateSync } from 'node:zlib'
import { createFlaskSigner } from '../plugins/storage/flask/signature.js'
import { Random } from './inputs/random.js'
import { endAlike, exchange, flaskCodec, flaskLifetime, flaskSecret, flaskTime, needsFlask, startFlask, textIn } from './programs/flask.js'

const signer = createFlaskSigner([Buffer.from(flaskSecret)])
/** A cookie with any payload, signed with the right key. */
const signed = (payload: string | Buffer, time = flaskTime): string => signer.sign(typeof payload === 'string' ? Buffer.from(payload).toString('base64url') : `.${payload.toString('base64url')}`, time)

/** Cookies that Flask 3.1.3 has written, and what a handler sees. */
const WRITTEN: ReadonlyArray<[cookie: string, values: unknown]> = [
  ['eyJjbGllbnRfbmFtZSI6IkhhcnJ5In0.ZVPxAA.F9gddEalxbFyN5LgCImOZ7Fz4vU', { client_name: 'Harry', authenticatedAt: 0 }],
  // tuple, bytes, Markup, UUID, datetime
  ['.eJyrVkqqLEktVrKqVlJIUrJS0i93tFWq1VHKTSzKLi0AC-cChW2S7Cps9JPsQFIlmbmpYIkUoIRbUaaOgoGRgldinoKRgZGZgoGxlYGJlYGpgrtvCFh1aUEORHmJklW0oQ6UoZSoFFsbC5QvLc1MAUuXAk0zNDI2MTUzt8BFK9XWAgD0Iy7J.ZVPxAA._JI0SQNczEi_L-3N_hLm65g3eQQ', {
    tuple: [1, ['a']], bytes: '/wA=', markup: '<b>x</b>', uuid: '12345678-1234-5678-1234-567812345678', time: '2026-01-02T03:04:05.000Z'
  }],
  // dicts that look like a tuple and like bytes
  ['.eJyrVqpQsqpWUkjJBFMl8fFKVtGGsbW1OkqVyBIpmSAZBD8JxFWqUqoFAQC3ThSB.ZVPxAA.wFsQF4FTvfP2MmWGiky0VnA4ot4', { x: { ' t': [1] }, y: { ' di': { ' b': 'z' } } }],
  ['.eJwVi0EOAiEMAP_Sq3VTtFDhB172D5iAIcFi1k2Mbvbv1tMcZmaDW7tDchfmIMwkZ6HovQsuINQ-8mpyIoSmFdLxqrVpWz8ImhXSnGeE53iXxapy-D-vR-7dykgkLsaTZ2EyInzLMkzQRPsPW4wfsw.ZVPxAA.HyKwmEMUzMSCJjCRAKiqZhq7hVM', {
    float: 1, big: '18446744073709551616', small: '-9007199254740992', power: 1e16, zero: 0, inf: null, nan: null
  }],
  ['eyJ0ZXh0IjoiXHUwMGU5XHVkODNkXHVkZTAwXHVkODAwXHUwMDdmXG4ifQ.ZVPxAA.lAvOJF550H-NuQL3hMPDL-RH8J4', { text: 'é😀\ud800\x7f\n' }],
  ['eyIgZGkiOnsiIHRfXyI6WzFdfX0.ZVPxAA.TTIQAU23VsWrlQj4hxnxNWU8zyI', { ' t': [1] }]
]

const valuesOf = (fields: Readonly<Record<string, string>>): unknown => Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, JSON.parse(text)]))

test('the types of Python arrive as JSON, and go back as they were when nobody changes them', async (t) => {
  const codec = flaskCodec()
  for (const [cookie, values] of WRITTEN) {
    const session = codec.open(cookie)
    t.strictSame(valuesOf(session?.record.fields ?? {}), values)
    t.equal(session === null ? null : codec.seal(session.record, session), cookie)
  }
})

test('a change keeps the types beside it: within a value, a tuple stays a tuple', async (t) => {
  const codec = flaskCodec()
  const session = codec.open(signed('{"cart":{" t":[{"at":{" d":"Fri, 02 Jan 2026 03:04:05 GMT"},"price":1.0},2]},"id":{" u":"12345678123456781234567812345678"},"other":{" b":"/wA="}}'))
  const fields = { ...session?.record.fields, cart: '[{"at":"2026-01-02T03:04:05.000Z","price":1,"count":2},3]', id: '"none"' }
  if (session === null) return t.fail('unreadable')
  t.equal(textIn(codec.seal({ ...session.record, fields }, session)),
    '{"cart":{" t":[{"at":{" d":"Fri, 02 Jan 2026 03:04:05 GMT"},"count":2,"price":1.0},3]},"id":"none","other":{" b":"/wA="}}')
})

test('client_name is the user, and _permanent is session.permanent', async (t) => {
  const codec = flaskCodec()
  const record = (text: string) => codec.open(signed(text))?.record
  t.match(record('{"client_name":"Harry","_permanent":true,"x":1}'), { user: 'Harry', permanent: true, fields: { x: '1' } })
  t.match(record('{"client_name":"Harry","_permanent":false}'), { user: 'Harry', permanent: false })
  t.equal(record('{"_permanent":true,"x":1}')?.fields['_permanent'], undefined)
  for (const name of ['""', '5', 'null', '{" b":"SGFycnk="}', '{" m":"Harry"}', '["Harry"]']) t.equal(record(`{"client_name":${name}}`)?.user, null, name)
  // When the login of Flask was is unknown, so it is not taken for a recent one.
  t.match(record('{"client_name":"Harry"}'), { fields: { authenticatedAt: '0' } })
  t.match(record('{"client_name":"Harry","authenticatedAt":1700000000000}'), { fields: { authenticatedAt: '1700000000000' } })
  t.match(record('{"client_name":"Harry","authenticatedAt":"now"}'), { fields: { authenticatedAt: '0' } })

  const session = codec.open(signed('{"client_name":"Harry","_permanent":false}'))
  if (session === null) return t.fail('unreadable')
  t.equal(textIn(codec.seal({ ...session.record, permanent: true }, session)), '{"_permanent":true,"client_name":"Harry"}')
  t.equal(textIn(codec.seal({ ...session.record, permanent: true })), '{"_permanent":true,"client_name":"Harry"}')
  t.equal(textIn(codec.seal(session.record)), '{"client_name":"Harry"}')
  const named = codec.open(signed('{"authenticatedAt":"now","client_name":"Harry"}'))
  t.equal(named === null ? null : textIn(codec.seal(named.record, named)), '{"authenticatedAt":"now","client_name":"Harry"}')
  t.throws(() => codec.seal({ ...session.record, fields: { client_name: '"Tom"' } }), { code: 'HATCHECK_FLASK_USER' })
  t.throws(() => codec.seal({ ...session.record, user: null }), { code: 'HATCHECK_FLASK_USER' })
  t.equal(textIn(codec.seal({ ...session.record, fields: { ...session.record.fields, 'hatcheck:client': '"curl"' } })), '{"client_name":"Harry"}')
})

test('the first key signs, all verify, and a session of a fallback key is to be signed again', async (t) => {
  const old = 'mB5xT8vQ1nZ7rW3kY9sD4gH6jL2pF0cAeUiO'
  const cookie = flaskCodec().seal({ createdAt: 0, seenAt: 0, expiresAt: 0, permanent: false, user: null, fields: { x: '1' } })
  t.equal(flaskCodec().open(cookie)?.isStale, false)
  t.equal(flaskCodec([flaskSecret], { secret: old }).open(cookie)?.isStale, true)
  t.equal(flaskCodec([old]).open(cookie)?.isStale, false)
  t.equal(flaskCodec([], { secret: old }).open(cookie), null)
  t.throws(() => createFlaskSigner([]), { message: 'at least one secret is required' })
})

test('a session lives as long as in Flask, to the end of the last second', async (t) => {
  const cookie = signed('{"x":1}')
  const at = (time: number) => flaskCodec([], { time }).open(cookie)?.record
  t.equal(at(flaskTime)?.expiresAt, (flaskTime + flaskLifetime + 1) * 1000)
  t.ok(at(flaskTime + flaskLifetime + 0.999))
  t.notOk(at(flaskTime + flaskLifetime + 1))
  t.ok(at(flaskTime - 60), 'the clock of the other machine may be ahead')
  t.notOk(at(flaskTime - 60.001))
})

test('a session that is too large or too deep for either side is refused with a typed error', async (t) => {
  const record = { createdAt: 0, seenAt: 0, expiresAt: 0, permanent: false, user: null }
  t.throws(() => flaskCodec([], { maxBytes: 100 }).seal({ ...record, fields: { x: `"${'é'.repeat(20)}"` } }), { code: 'HATCHECK_SESSION_TOO_LARGE' })
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  t.throws(() => flaskCodec().seal({ ...record, fields: { x: nested(201) } }), { code: 'HATCHECK_FLASK_DEPTH' })
  t.strictSame(flaskCodec().open(flaskCodec().seal({ ...record, fields: { x: nested(200) } }))?.record.fields, { x: nested(200) })
})

test('a payload is not decompressed beyond the limit, even with the right signature', async (t) => {
  const text = (bytes: number) => `{"x":"${'a'.repeat(bytes - 8)}"}`
  const codec = flaskCodec([], { maxBytes: 1_000 })
  for (const [bytes, isRead] of [[1_000, true], [1_001, false], [50_000_000, false]] as const) {
    t.equal(codec.open(signed(deflateSync(text(bytes)))) !== null, isRead, `${bytes} bytes, compressed`)
    if (bytes < 50_000_000) t.equal(codec.open(signed(text(bytes))) !== null, isRead, `${bytes} bytes`)
  }
})

test('a large session that a short cookie carries is not kept in memory', async (t) => {
  const codec = flaskCodec()
  for (const [bytes, isKept] of [[3_000, true], [60_000, false]] as const) {
    const cookie = signed(deflateSync(`{"x":"${'a'.repeat(bytes)}"}`))
    const first = codec.open(cookie)
    t.equal(codec.open(cookie) === first, isKept, `${bytes} bytes in ${cookie.length}`)
  }
})

test('a signed payload that Flask does not write is an anonymous visitor', async (t) => {
  const codec = flaskCodec()
  for (const text of [
    '', '{', '{}', '{"_permanent":true}', '[]', '5', 'null', '"x"', '{"a":1}x', '{"a":1,}', '{a:1}', '{"a" 1}', '{"a":}', '{"a":01}', '{"a":1.}', '{"a":tru}', '{"a":"\u0001"}', '{"a":"\\x"}', '{"a":[1 2]}',
    '\ufeff{"a":1}', '{"a":{" t":5}}', '{"a":{" di":5}}', '{"a":{" di":{}}}', '{"a":{" di":{"x":1}}}', '{"a":{" di":{"x__":1,"y__":2}}}', '{"a":{" b":5}}', '{"a":{" m":[]}}', '{"a":{" u":"x"}}', '{" t":[1]}',
    `{"a":${'['.repeat(1e5)}`, `{"a":${'['.repeat(600)}${']'.repeat(600)}}`
  ]) t.equal(codec.open(signed(text)), null, text.slice(0, 40))
  for (const payload of ['', '.', '..', '.AAAA', '_w']) t.equal(codec.open(signer.sign(payload, flaskTime)), null, payload)
  t.ok(codec.open(signed(' { "a" : [ 1 , { } ] } ')))
  t.strictSame(codec.open(signed('{"a":{" d":"Fri, 30 Feb 2026 03:04:05 GMT"},"b":{" d":"now"},"c":{" d":"Mon, 01 Jan 0001 00:00:00 GMT"},"d":{" d":"Wed, 06 May 0099 00:00:00 GMT"}}'))?.record.fields,
    { a: 'null', b: 'null', c: '"2001-01-01T00:00:00.000Z"', d: '"1999-05-06T00:00:00.000Z"' })
})

test('forged and damaged cookies are anonymous visitors, and nothing throws', async (t) => {
  const [codec, random] = [flaskCodec(), new Random(7)]
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=!é\0 ']
  const cookies = WRITTEN.map(([cookie]) => cookie)
  let accepted = 0
  for (let round = 0; round < 5_000; round++) {
    const cookie = random.of(cookies)
    const at = random.integer(cookie.length)
    const other = random.of(cookies)
    const forged = random.of([
      cookie.slice(0, at), cookie.slice(at), cookie.slice(0, at) + random.of(letters) + cookie.slice(at + 1), cookie.slice(0, at) + other.slice(at), `${cookie}${random.of(letters)}`,
      Array.from({ length: at }, () => random.of(letters)).join('')
    ])
    if (!cookies.includes(forged) && codec.open(forged) !== null) accepted++
  }
  t.equal(accepted, 0)
})

test('generated sessions of Flask pass through hatcheck unchanged, and the other way round', needsFlask(), async (t) => {
  await exchange(t, await startFlask(t), Array.from({ length: 300 }, (_, index) => index))
})

test('expired, tampered and old-key cookies end the same in Flask', needsFlask(), async (t) => {
  await endAlike(t, await startFlask(t))
})
