import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { createSealedCodec } from '../plugins/storage/cookie/sealed.js'
import type { Carried } from '../plugins/store/carried.js'
import { testKey } from './helper.js'
import { bomb, sealAnything, sendForgedCookies } from './inputs/forged-cookies.js'
import { START } from './time/units.js'

const MAX_BYTES = 16_384
const secrets = [Buffer.from(testKey)]

function sessionWith (fields: Record<string, string>, user: string | null = 'Harry'): Carried {
  const record = { createdAt: START, seenAt: START + 1, expiresAt: START + 2, permanent: true, user, fields }
  return { id: randomBytes(32).toString('base64url'), endsAt: START + 3, epoch: START - 1, record }
}

test('a cookie carries every session as it is', (t) => {
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  const awkward = { '': '1', 'a key': '"b"', 'new\nline': '{"x":"\\n"}', '"quoted"': '[]', 'Zoë 😀': '"Zoë 😀 \\u2028"', 'half \ud800': '"\\ud800"', 0: 'null', '\0': 'true', 'hatcheck:client': '["a","b"]' }
  for (const session of [sessionWith({}), sessionWith({ a: '1' }, null), sessionWith(awkward, 'Zoë\n"😀"'), sessionWith({ long: `"${'word '.repeat(3_000)}"` }), sessionWith({ noise: `"${randomBytes(1_000).toString('hex')}"` })]) {
    const value = codec.seal(session, 'hatcheck')
    t.match(value, /^[\w-]+$/)
    t.ok(codec.isLike(value))
    const { isStale, ...opened } = createSealedCodec(secrets, 'hatcheck', MAX_BYTES).open(value, 'hatcheck') ?? {}
    t.equal(isStale, false)
    t.strictSame(opened, session)
    t.strictSame(codec.open(value, 'hatcheck'), { ...opened, isStale }, 'the one that has sealed it remembers it')
  }
  const { record } = createSealedCodec(secrets, 'hatcheck', MAX_BYTES).open(codec.seal(sessionWith({ a: '{\n  "b": 1\n}' }), 'x'), 'x') ?? {}
  t.strictSame(record?.fields, { a: '{"b":1}' }, 'formatted JSON loses its line breaks')
  t.end()
})

test('no two values are the same, and none shows what is in it', (t) => {
  const values = Array.from({ length: 100 }, () => createSealedCodec(secrets, 'hatcheck', MAX_BYTES).seal(sessionWith({ secret: '"a secret"' }), 'hatcheck'))
  t.equal(new Set(values.map((value) => value.slice(2, 40))).size, 100)
  for (const value of values) t.notOk(Buffer.from(value, 'base64url').includes('secret'))
  t.end()
})

test('every key opens, the first seals, and only for the same name and realm', (t) => {
  const [oldKey, newKey] = [randomBytes(32), randomBytes(32)]
  const session = sessionWith({ a: '1' })
  const value = createSealedCodec([oldKey], 'hatcheck', MAX_BYTES).seal(session, 'hatcheck')
  t.match(createSealedCodec([newKey, oldKey], 'hatcheck', MAX_BYTES).open(value, 'hatcheck'), { ...session, isStale: true })
  t.match(createSealedCodec([oldKey, newKey], 'hatcheck', MAX_BYTES).open(value, 'hatcheck'), { ...session, isStale: false })
  t.equal(createSealedCodec([newKey], 'hatcheck', MAX_BYTES).open(value, 'hatcheck'), null)
  t.equal(createSealedCodec([oldKey], 'shop', MAX_BYTES).open(value, 'hatcheck'), null)
  const codec = createSealedCodec([oldKey], 'hatcheck', MAX_BYTES)
  for (const name of ['__Host-hatcheck', '', 'hatcheck']) t.equal(codec.open(value, name) === null, name !== 'hatcheck', name)
  t.not(codec.open(value, 'hatcheck'), null, 'again')
  t.equal(codec.open(value, 'shop'), null, 'also once it was opened')
  t.end()
})

test('a value has one spelling', (t) => {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (let size = 0; size < 3; size++) {
    const value = createSealedCodec(secrets, 'hatcheck', MAX_BYTES).seal(sessionWith({ a: JSON.stringify('a'.repeat(size)) }), 'hatcheck')
    const [start, last] = [value.slice(0, -1), ALPHABET.indexOf(value.at(-1) as string)]
    // Decoding ignores up to four bits of the last character.
    for (const bit of [1, 2, 4, 8]) t.equal(createSealedCodec(secrets, 'hatcheck', MAX_BYTES).open(start + (ALPHABET[last ^ bit] as string), 'hatcheck'), null)
    t.equal(createSealedCodec(secrets, 'hatcheck', MAX_BYTES).open(`${value}=`, 'hatcheck'), null)
  }
  t.end()
})

test('text is compressed only where that is shorter, and a short text never', (t) => {
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  const lengthOf = (text: string): number => codec.seal(sessionWith({ text: JSON.stringify(text) }), 'hatcheck').length
  t.ok(lengthOf('word '.repeat(2_000)) < 1_000)
  const noise = randomBytes(3_000).toString('latin1').replace(/[^!-~]/g, '~')
  t.ok(lengthOf(noise) < (noise.length + 600) * 4 / 3)
  t.ok(lengthOf('a'.repeat(500)) > 660)
  t.end()
})

test('the length of a value is known before it is sealed', (t) => {
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  for (let size = 0; size < 8; size++) {
    const session = sessionWith({ text: JSON.stringify('a'.repeat(size)) })
    t.equal(codec.lengthOf(session), codec.seal(session, 'hatcheck').length)
  }
  const long = sessionWith({ text: JSON.stringify('word '.repeat(2_000)) })
  t.equal(codec.lengthOf(long), codec.seal(long, 'hatcheck').length)
  t.end()
})

test('neither recorded activity nor a new epoch changes the length, so that a session that fits into its cookie still fits', (t) => {
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  for (const fields of [{ a: '1' }, { words: JSON.stringify('a word '.repeat(500)) }, { noise: JSON.stringify(randomBytes(1_500).toString('hex')) }]) {
    const begun = sessionWith(fields)
    const lengths = [START, START + 123_456, START + 987_654_321].flatMap((seenAt) => {
      const record = { ...begun.record, createdAt: START, seenAt, expiresAt: seenAt + 3_600_000 }
      return [0, START].map((epoch) => codec.lengthOf({ ...begun, epoch, record }))
    })
    t.equal(new Set(lengths).size, 1, lengths.join())
  }
  t.end()
})

test('a large session that a short value carries is not kept in memory', (t) => {
  const [writer, reader] = [createSealedCodec(secrets, 'hatcheck', MAX_BYTES), createSealedCodec(secrets, 'hatcheck', MAX_BYTES)]
  for (const [bytes, isKept] of [[3_000, true], [10_000, false]] as const) {
    const session = sessionWith({ a: JSON.stringify('a'.repeat(bytes)) })
    const value = writer.seal(session, 'hatcheck')
    t.ok(value.length < 500, `${bytes} bytes in ${value.length}`)
    for (const codec of [writer, reader]) {
      const first = codec.open(value, 'hatcheck')
      t.equal(codec.open(value, 'hatcheck') === first, isKept)
    }
    t.match(reader.open(value, 'hatcheck'), session)
  }
  t.end()
})

test('a value is never unpacked to more than the largest session, even if the right key has sealed it', (t) => {
  const limits: number[] = []
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  t.match(codec.open(sealAnything(bomb(MAX_BYTES)), 'hatcheck'), { record: { user: 'Mallory' } }, 'the largest one')
  for (const bytes of [MAX_BYTES + 5_000, 1_000_000, 100_000_000]) {
    const value = sealAnything(bomb(bytes))
    const before = process.memoryUsage().arrayBuffers
    const begun = process.cpuUsage()
    // One that no browser would send is refused before it is decrypted.
    t.equal(codec.open(value, 'hatcheck'), null, `${bytes} bytes in ${value.length}`)
    limits.push(process.cpuUsage(begun).user / 1_000)
    t.ok(process.memoryUsage().arrayBuffers - before < 10_000_000)
  }
  t.ok(Math.max(...limits) < 500)
  t.end()
})

test('a payload that is not a session grants no access', (t) => {
  const codec = createSealedCodec(secrets, 'hatcheck', MAX_BYTES)
  const head = ['an id', START, START, START, START, false, null, 0]
  const payload = (text: string, kind = 0): Buffer => Buffer.concat([Buffer.of(kind), Buffer.from(text)])
  t.not(codec.open(sealAnything(payload(`${JSON.stringify(head)}\nname\n1`)), 'hatcheck'), null)
  const broken = ['', '{}', 'null', '[]', '[', `${JSON.stringify(head)}\nname`, `${JSON.stringify(head)}\n"name\n1`]
  for (let i = 0; i < head.length; i++) broken.push(JSON.stringify(head.with(i, {} as never)))
  for (const text of broken) t.equal(codec.open(sealAnything(payload(text)), 'hatcheck'), null, text)
  for (const kind of [1, 2, 255]) t.equal(codec.open(sealAnything(payload(JSON.stringify(head), kind)), 'hatcheck'), null, `${kind}`)
  t.equal(codec.open(sealAnything(Buffer.alloc(0)), 'hatcheck'), null)
  t.end()
})

test('cookies that are forged, changed, expired, ended or of another name or realm open nothing', async (t) => {
  await sendForgedCookies(t, 3_000)
})
