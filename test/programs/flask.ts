import { execFileSync, spawn } from 'node:child_process'
import { isDeepStrictEqual } from 'node:util'
import { inflateSync } from 'node:zlib'
import type { Test } from 'tap'
import { createFlaskCodec } from '../../plugins/storage/flask/codec.js'
import type { CookieCodec, Opened } from '../../plugins/store/carried.js'
import type { SessionRecord } from '../../plugins/store/record.js'
import { needs } from '../helper.js'
import { fixture } from '../processes/child.js'
import { askByLines } from '../processes/line-process.js'
import type { Lifetime } from '../processes/scope.js'

/** Asks test/fixtures/flask-peer.py, and returns its answer. */
export type Flask = (question: string, ...args: unknown[]) => Promise<any>

export const flaskSecret = 'kQ7r2Wm9XcB4vN8pLzT1sYd6HgJ3fRaE5uKo'
export const flaskTime = 1_700_000_000
export const flaskLifetime = 2_678_400

/** Skips a test where Python or Flask is missing, as `needs` does. */
export function needsFlask (): { skip: string | false } {
  try {
    execFileSync('python3', ['-c', 'import flask'], { stdio: 'ignore' })
    return { skip: false }
  } catch {
    return process.env['HATCHECK_TEST_ALL'] === '1' ? { skip: false } : { skip: needs('python3').skip || 'needs Flask (python3-flask), which is not installed here' }
  }
}

/** A real Flask in a process of its own, with the secret and time of these tests. It ends with the test. */
export async function startFlask (t: Lifetime): Promise<Flask> {
  const child = spawn('python3', ['-W', 'ignore', fixture('flask-peer.py')], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ask: Flask = askByLines(t, child, 'Python')
  await ask('configure', flaskSecret, [], flaskTime, flaskLifetime)
  return ask
}

/** The codec of hatcheck with the same secret and time. */
export function flaskCodec (fallbacks: readonly string[] = [], { secret = flaskSecret, time = flaskTime, maxBytes = 65_536 } = {}): {
  /** Returns the live session in a cookie. */
  open (cookie: string): Opened | null
  /** Returns the cookie of a session, or of a record without one. */
  seal (record: SessionRecord, session?: Opened): string
} {
  const codec: CookieCodec = createFlaskCodec({ secrets: [secret, ...fallbacks].map((key) => Buffer.from(key)), lifetimeSeconds: flaskLifetime, maxBytes, now: () => time * 1000 })
  return {
    open (cookie) {
      const opened = codec.open(cookie, 'session')
      return opened !== null && opened.record.expiresAt > time * 1000 ? opened : null
    },
    seal: (record, session) => codec.seal({ id: '', endsAt: 0, epoch: 0, ...session, record }, 'session')
  }
}

/** The JSON in a cookie. */
export function textIn (cookie: string): string {
  const [payload = ''] = cookie.replace(/^\./, '').split('.')
  const bytes = Buffer.from(payload, 'base64url')
  return (cookie.startsWith('.') ? inflateSync(bytes) : bytes).toString()
}

/**
 * Sends generated sessions of Flask to hatcheck and back: unchanged, with a value more, and written anew by either side.
 * What both compress may differ in its bytes, since that depends on the version of zlib.
 */
export async function exchange (t: Test, flask: Flask, seeds: readonly number[]): Promise<void> {
  const codec = flaskCodec()
  for (const seed of seeds) {
    const cookie: string = await flask('make', seed)
    const session = codec.open(cookie)
    if (session === null) {
      t.fail(`hatcheck cannot read ${textIn(cookie)}`)
      continue
    }
    if (codec.seal(session.record, session) !== cookie) t.fail(`an unchanged session differs: ${textIn(cookie)}`)

    const value = [seed, { ' t': 'é' }, 0.5, [null, true]]
    const changed = codec.seal({ ...session.record, fields: { ...session.record.fields, added: JSON.stringify(value) } }, session)
    const { same, again } = await flask('compare', seed, changed, { added: value })
    if (same !== true) t.fail(`Flask reads other values than it wrote: ${textIn(cookie)} became ${textIn(changed)}`)
    if (textIn(again) !== textIn(changed) || (!again.startsWith('.') && !changed.startsWith('.') && again !== changed)) t.fail(`Flask writes ${textIn(again)}, hatcheck ${textIn(changed)}`)

    // The values as a handler sees them, written anew: without the types of Python.
    const own = codec.seal(session.record)
    if (await flask('read', own) !== textIn(own)) t.fail(`Flask reads other values than hatcheck wrote: ${textIn(own)}`)
    if (!isDeepStrictEqual(codec.open(own)?.record.fields, session.record.fields)) t.fail(`hatcheck reads other values than it wrote: ${textIn(own)}`)
  }
  // Failures only, since each assertion that passes takes as long as a session.
  t.pass(`${seeds.length} sessions`)
}

/** Presents good and bad cookies to both sides. */
export async function endAlike (t: Test, flask: Flask): Promise<void> {
  const [old, other] = ['mB5xT8vQ1nZ7rW3kY9sD4gH6jL2pF0cAeUiO', 'hG4dS8aK1zX6cV3bN9mQ2wE7rT5yU0iOpLfJ']
  const cookie: string = await flask('write', { client_name: 'Harry', cart: ['apple'] })
  const isOpen = async (value: string): Promise<boolean> => await flask('read', value) !== '{}'

  for (const [time, what] of [
    [0, 'new'], [flaskLifetime, 'in its last second'], [flaskLifetime + 1, 'expired'], [-61, 'of the future']
  ] as const) {
    await flask('configure', flaskSecret, [], flaskTime + time, flaskLifetime)
    t.equal(flaskCodec([], { time: flaskTime + time }).open(cookie) !== null, await isOpen(cookie), what)
  }

  const hasFallbacks = Number((await flask('version') as string).split('.').slice(0, 2).map((part) => part.padStart(3, '0')).join('')) >= 3_001
  if (!hasFallbacks) t.comment('this Flask has no SECRET_KEY_FALLBACKS')
  for (const [secret, fallbacks] of [[other, []], [old, [flaskSecret]], [flaskSecret, [old]], [other, [old]]] as const) {
    if (fallbacks.length > 0 && !hasFallbacks) continue
    await flask('configure', secret, fallbacks, flaskTime, flaskLifetime)
    const codec = flaskCodec(fallbacks, { secret })
    t.equal(codec.open(cookie) !== null, await isOpen(cookie), 'after a change of keys')
    const session = flaskCodec().open(cookie)
    if (session !== null) t.equal(codec.seal(session.record, session), await flask('write', { client_name: 'Harry', cart: ['apple'] }), 'both sign with the same key')
  }

  await flask('configure', flaskSecret, [], flaskTime, flaskLifetime)
  const codec = flaskCodec()
  for (let at = 0; at < cookie.length; at++) {
    for (const tampered of [cookie.slice(0, at) + (cookie[at] === 'A' ? 'B' : 'A') + cookie.slice(at + 1), cookie.slice(0, at), cookie.slice(0, at) + cookie.slice(at + 1)]) {
      t.equal(codec.open(tampered) !== null, await isOpen(tampered), tampered)
    }
  }
}
