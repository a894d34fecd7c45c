import { test } from 'tap'
import { newName, normalName } from '../plugins/accounts/name.js'
import { accountKey } from '../plugins/store/accounts.js'
import { Client } from './clients/client.js'
import { build } from './helper.js'
import { noteCalls } from './inputs/note-calls.js'

test('names are trimmed, normalized to NFC and limited in length', (t) => {
  t.equal(normalName('Harry'), 'Harry')
  t.equal(normalName('  Harry Potter\n'), 'Harry Potter')
  t.equal(normalName('Zoe\u0308'), 'Zo\u00EB', 'is NFC')
  t.equal(normalName('n'.repeat(64)), 'n'.repeat(64))
  t.equal(normalName('😀'.repeat(64)), '😀'.repeat(64), 'is counted in characters')
  for (const name of ['👩\u200D👩\u200D👧', '❤\uFE0F\u200D🔥', '👍🏽', '1\uFE0F\u20E3', '🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}']) t.equal(normalName(name), name)
  for (const name of ['王小明', 'o\'Hara', '<b>', 'a@b@c', '__proto__', 'constructor', '"', '1']) t.equal(normalName(name), name)
  const refusals: Array<[unknown[], string]> = [
    [['', ' ', '\u00A0\t\n', undefined, null, 1, {}, ['Harry']], 'The name is missing.'],
    [['n'.repeat(65), '😀'.repeat(65)], 'A name can have at most 64 characters.'],
    [['a\u0000b', 'a\nb', 'a\r\nSet-Cookie: b', 'a\u007Fb', 'a\u0085b', 'a\u2028b', 'a\u2029b', 'a\u202Eb', 'a\u2066b', 'a\ud800b', '\udc00',
      'Harry\u200B', '\u200EHarry', 'Har\u200Cry', 'Harry\u200D', 'Har\u2060ry', 'Har\u00ADry', 'Har\uFEFFry', 'Harry\uFE0F', 'Harry\u034F', 'Harry\u061C', 'Harry\u{E0067}', '\u3164', 'Harry\uE000', 'Harry\u0378',
      'Harry\uFFFF', '👩\u200D', '\u200D👩', '👩\u200DH', '👍\uFE0F'], 'A name must not contain control characters, or invisible characters outside emoji.']
  ]
  for (const [names, message] of refusals) {
    for (const name of names) t.throws(() => normalName(name), { code: 'HATCHECK_NAME', statusCode: 400, message })
  }
  for (const name of ['Harry', 'Straße', 'STRAẞE', 'İstanbul', 'ΟΔΟΣ', 'ŉ', 'ﬁn', 'Ǆ', 'Zoe\u0308']) {
    t.equal(accountKey(accountKey(name)), accountKey(name), 'its key is the key of the key')
    t.equal(accountKey(name.toUpperCase()), accountKey(name))
  }
  t.end()
})

test('the login form has room for the longest names, whatever characters they consist of', async (t) => {
  const { body } = await new Client(await build(t, { mode: 'service' })).get('/login', { accept: 'text/html' })
  // A browser counts UTF-16 units.
  const room = Number(/name="client_name"[^>]* maxlength="(\d+)"/.exec(body)?.[1])
  for (const character of ['n', '吉', '𠮷', '😀', 'e\u0301', '\u03B1\u0314\u0342\u0345']) t.ok(normalName(character.repeat(64)).length <= room && character.repeat(64).length <= room, character)
})

test('the name of a new account follows stricter rules than a name at login', (t) => {
  for (const spelling of ['Harry Potter', 'Harry\u00A0Potter', 'Harry  Potter', 'Harry\u2003Potter', ' Harry\u3000\u2009Potter', 'Harry \u202F Potter', 'Ｈarry Ｐotter']) t.equal(newName(spelling), 'Harry Potter', JSON.stringify(spelling))
  for (const name of ['Zoë', 'o\'Hara', '<b>', 'a@b@c', '__proto__', '1', '王小明', 'ß', 'Ἀθηνᾶ', 'ビョーク', 'ジョン・レノン', 'l·l', 'שמעון', 'ג׳ון', '٣٤', 'Σ ς', 'नरेंद्र', '👩\u200D👩\u200D👧 Weasley', '1\uFE0F\u20E3']) t.equal(newName(name), name)
  for (const name of ['\u2800', 'Harry\u2800', 'Harry\u2800Potter', '\u{1D159}', 'Harry™', 'ﬁn', 'Ⅷ', 'x²', 'a·b', '・', 'a—b', '٣۴', 'ـ', '\u1100\u1100']) {
    t.throws(() => newName(name), { code: 'HATCHECK_NAME', statusCode: 400, message: /^A name can contain letters, digits/ }, JSON.stringify(name))
  }
  t.throws(() => newName('ﾊﾞ'.repeat(40)), { message: 'A name can have at most 64 characters.' })
  t.throws(() => newName('\u200B'), { code: 'HATCHECK_NAME' })
  t.end()
})

test('the length of a name is checked before it is normalized', (t) => {
  let longest = 0
  noteCalls(t, String.prototype, 'normalize', (text) => { longest = Math.max(longest, String(text).length) })
  for (const text of ['a\u0301\u0323'.repeat(5_000), '\uFDFA'.repeat(5_000), ' '.repeat(5_000) + 'a'.repeat(5_000)]) t.throws(() => normalName(text), { message: 'A name can have at most 64 characters.' })
  t.ok(longest <= 256, String(longest))
  t.equal(normalName(' '.repeat(10_000) + '\u03B1\u0313\u0300\u0345'.repeat(64)), '\u1F82'.repeat(64), 'what takes four characters for one is not too long')
  t.end()
})
