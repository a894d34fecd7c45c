import type { FastifyInstance } from 'fastify'
import { readFileSync, readdirSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { LANGUAGE_TAGS, type LanguageTag } from '../plugins/config/language-tags.js'
import { createLanguage, type Translations } from '../plugins/view/language.js'
import { createLanguageChoice } from '../plugins/view/languages.js'
import { AS_BROWSER } from './clients/accept.js'
import { Client, type Answer } from './clients/client.js'
import { unescaped } from './clients/unescaped.js'
import { build, buildHost } from './helper.js'
import { checkout } from './processes/child.js'

const FOLDER = 'plugins/view/languages'

const translated = LANGUAGE_TAGS.filter((tag) => tag !== 'en')
const files = new Map<LanguageTag, Translations>(translated.map((tag) => [tag, JSON.parse(readFileSync(join(checkout, FOLDER, `${tag}.json`), 'utf8'))]))

/** Fastify's own errors that a visitor can cause with a form. */
const OF_FASTIFY = ['Request body is too large']
/** Words that come from the description of a client. */
const OF_CLIENTS = ['Unknown browser', 'this machine', 'unknown']

/** Errors that no page shows: they answer requests that no link and no form of a page sends, or belong to the command line. */
const FOR_PROGRAMS = new Set(['HATCHECK_REAUTHENTICATE', 'HATCHECK_IDENTITY_KEY', 'HATCHECK_ANONYMOUS_SESSION', 'HATCHECK_ACCOUNT_EXISTS', 'HATCHECK_NO_SUCH_ACCOUNT'])

const sources = ['routes', 'plugins', 'server.ts'].flatMap((path) => path.endsWith('.ts')
  ? [path]
  : readdirSync(join(checkout, path), { recursive: true }).map(String).filter((file) => file.endsWith('.ts')).map((file) => join(path, file)))
  .map((file) => readFileSync(join(checkout, file), 'utf8'))

/** A text as it is found: with `{}` for each value, however it is written. */
function shape (text: string): string {
  return text.replaceAll('\\\'', '\'').replaceAll('\\"', '"').replace(/%[sd]|\$\{[^}]*\}|\{\w+\}/g, '{}')
}

function found (pattern: RegExp): RegExpExecArray[] {
  return sources.flatMap((source) => [...source.matchAll(pattern)])
}

function valuesIn (text: string): string[] {
  return [...text.matchAll(/\{\w+\}/g)].map(String).sort()
}

test('every file of a language has the same texts, each with the same values', (t) => {
  t.same(readdirSync(join(checkout, FOLDER)).sort(), translated.map((tag) => `${tag}.json`).sort())
  const first = files.get('de')
  for (const [tag, file] of files) {
    t.same(Object.keys(file), ['pages', 'messages'])
    for (const part of ['pages', 'messages'] as const) {
      t.same(Object.keys(file[part]), Object.keys(first?.[part] ?? {}), `${part} of ${tag}`)
      for (const [english, translation] of Object.entries(file[part])) {
        t.same(valuesIn(translation), valuesIn(english), `${tag}: ${english}`)
        t.equal(translation, translation.trim())
        t.not(translation, '')
      }
    }
  }
  t.end()
})

test('the files have exactly the texts of the pages', (t) => {
  const used = new Set(found(/\b(?:text|phrase)\('((?:[^'\\]|\\.)*)'/g).map(([, text = '']) => text))
  t.same([...used].sort(), Object.keys(files.get('de')?.pages ?? {}).sort())
  t.end()
})

test('the files have every error that a page can show, and no text that is not in the code', (t) => {
  const known = new Set(Object.keys(files.get('de')?.messages ?? {}).map(shape))
  const errors = [
    ...found(/create(?:Error|Refusal|Unauthorized|Unavailable|TooMany)(?:<[^(]*>)?\(\s*'(\w+)',\s*'((?:[^'\\]|\\.)*)'(?:, (\d+))?/g)
      // A client that has gone gets no 499.
      .filter(([, code = '', , status = '']) => !FOR_PROGRAMS.has(code) && !['499', '500', '501'].includes(status)).map(([, , text = '']) => text),
    ...found(/new (?:Name|Password|Credentials)Error\(['`]((?:[^'`\\]|\\.)*)['`]/g).map(([, text = '']) => text)
  ].map(shape).filter((text) => text !== '{}')
  t.ok(errors.length > 40, `${errors.length} errors`)
  for (const error of errors) t.ok(known.has(error), error)
  const code = new Set([
    ...found(/'((?:[^'\\\n]|\\.)*)'/g).map(([, text = '']) => text), ...found(/`([^`\n]*)`/g).map(([, text = '']) => text),
    ...Object.values(STATUS_CODES).map(String), ...OF_FASTIFY, ...OF_CLIENTS
  ].map(shape))
  for (const message of known) t.ok(code.has(message), `"${message}" is in the code`)
  t.end()
})

test('Accept-Language chooses the language of a page', async (t) => {
  const fastify = await build(t)
  const cases: Array<[string | undefined, LanguageTag]> = [
    [undefined, 'en'], ['', 'en'], ['*', 'en'], ['en', 'en'], ['en-GB,en;q=0.9', 'en'], ['la', 'en'], ['la,fr;q=0.5', 'fr'],
    ['de', 'de'], ['DE', 'de'], ['de-AT', 'de'], ['de-DE,de;q=0.9,en;q=0.8', 'de'], ['en;q=0.7,de;q=0.8', 'de'], ['de;q=0,en', 'en'], ['de;q=0', 'en'],
    ['fr-CA', 'fr'], ['es-419', 'es'], ['ja-JP', 'ja'], ['zh-CN,zh;q=0.9', 'zh'], ['zh-Hans-CN', 'zh'], ['zh-TW,zh;q=0.9,en;q=0.8', 'zh'],
    ['deu', 'en'], ['de_DE', 'en'], [';;;,,,=q', 'en'], [`la,${'x,'.repeat(5_000)}de`, 'en'], [`de,${'x,'.repeat(5_000)}en`, 'de']
  ]
  for (const [header, expected] of cases) {
    for (const url of ['/', '/login', '/no/such/page']) {
      const { headers, body } = await fastify.inject({ url, headers: { ...AS_BROWSER, ...header !== undefined && { 'accept-language': header } } })
      t.equal(headers['content-language'], expected, `${url} for ${header?.slice(0, 40)}`)
      t.match(body, `<html lang="${expected}">`)
      t.equal(headers.vary, 'Accept, Accept-Language, Cookie')
    }
  }
})

test('JSON stays English, errors included', async (t) => {
  const fastify = await build(t)
  const headers = { accept: 'application/json', 'accept-language': 'de' }
  const missing = await fastify.inject({ url: '/no/such/page', headers })
  t.same(missing.json(), { type: 'about:blank', title: 'Not Found', status: 404, detail: 'There is nothing at this address.', code: 'HATCHECK_NOT_FOUND' })
  t.equal(missing.headers['content-language'], undefined)
  const wrong = await new Client(fastify).post('/login', { client_name: '', password: 'x' }, headers)
  t.equal(wrong.json().detail, 'The name is missing.')
  t.equal(wrong.headers['content-language'], undefined)
})

test('pageLanguages limits the languages, and its first is for everybody else', async (t) => {
  const choose = createLanguageChoice(['fr', 'en'])
  const chosen = (header?: string): string => choose({ headers: header === undefined ? {} : { 'accept-language': header } }).tag
  t.same([chosen(), chosen('de'), chosen('*'), chosen('en'), chosen('de,en;q=0.1')], ['fr', 'fr', 'fr', 'en', 'en'])
  for (const pageLanguages of ['de', ['de']] as const) {
    const fastify = await buildHost(t, { routes: true, pageLanguages: typeof pageLanguages === 'string' ? pageLanguages : [...pageLanguages] })
    const { body, headers } = await fastify.inject({ url: '/login', headers: { 'accept-language': 'en' } })
    t.match(body, '<h1>Anmelden</h1>')
    t.equal(headers['content-language'], 'de')
  }
  const fastify = await build(t, { pageLanguages: 'ja, en' })
  t.equal((await fastify.inject({ url: '/', headers: { 'accept-language': 'de' } })).headers['content-language'], 'ja')
})

test('pageLanguages must be a list of known languages', async (t) => {
  for (const [wrong, shown] of [['', '""'], ['la', '"la"'], ['de,la', '"de,la"'], ['EN', '"EN"'], [[], '[]'], [['de', 'la'], '[ \'de\', \'la\' ]']] as const) {
    await t.rejects(buildHost(t, { pageLanguages: typeof wrong === 'string' ? wrong : [...wrong] as LanguageTag[] }),
      { code: 'HATCHECK_CONFIG', message: `pageLanguages must be languages out of en, de, fr, es, ja, zh; got ${shown}.` })
  }
  await t.rejects(build(t, { pageLanguages: 'la' }), { message: 'PAGE_LANGUAGES must be languages out of en, de, fr, es, ja, zh; got "la".' })
})

test('messages are translated with their values, and others are left alone', (t) => {
  const { message, phrase, text } = createLanguage('de', files.get('de') ?? { pages: {}, messages: {} })
  t.equal(message('A password must have at least 15 characters.'), 'Ein Passwort muss mindestens 15 Zeichen haben.')
  t.equal(message('Too many logins have failed. Please try again in 1 second.'), 'Zu viele Anmeldungen sind fehlgeschlagen. Bitte versuchen Sie es in 1 Sekunde noch einmal.')
  t.equal(message('Too many logins have failed. Please try again in 1,440 minutes.'), 'Zu viele Anmeldungen sind fehlgeschlagen. Bitte versuchen Sie es in 1.440 Minuten noch einmal.')
  t.match(message('The session cookie is Secure but this connection is plain http, so the browser would drop it. Use https, or set TRUST_PROXY if a proxy ends TLS, or set SESSION_COOKIE_SECURE=false for a test on http.'),
    /verwerfen\. Verwenden Sie https, .* SESSION_COOKIE_SECURE=false\.$/)
  t.equal(message('The field $& must be text, and must appear once.'), 'Das Feld $& muss Text sein und genau einmal vorkommen.')
  for (const other of ['', 'Your account expired.', '5 apples', 'constructor', '__proto__', '{name}', 'x'.repeat(100_000)]) t.equal(message(other), other)
  for (const [tag, file] of files) {
    const translated = createLanguage(tag, file)
    const filled = (text: string): string => text.replace(/\{(\w+)\}/g, '<$1>')
    for (const [english, translation] of Object.entries(file.messages)) t.equal(translated.message(filled(english)), filled(translation), tag)
  }
  t.equal(String(phrase('{name} Your account is logged in.', { name: '<{name}>' })), '&#60;{name}&#62;, Sie sind angemeldet.')
  t.equal(String(text('Log in')), 'Anmelden')
  t.equal(String(text('constructor')), 'constructor')
  t.end()
})

/** Every page and what leads to it, for one visitor. */
async function tour (t: Test, language: LanguageTag): Promise<Map<string, Answer>> {
  let time = Date.UTC(2026, 10, 26, 12)
  const fastify: FastifyInstance = await buildHost(t, { routes: true, prefix: '/auth', signup: 'open', passwordMinLength: 15, now: () => time })
  const headers = { ...AS_BROWSER, 'accept-language': language }
  const pages = new Map<string, Answer>()
  const see = async (name: string, answer: Promise<Answer>): Promise<void> => { pages.set(name, await answer) }
  const [harry, phone] = [new Client(fastify), new Client(fastify)]
  const firefox = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0' }
  const login = (password = 'correct horse battery'): Record<string, string> => ({ client_name: 'Harry', password, permanent: 'on' })

  await see('anonymous', harry.get('/auth/', headers))
  await see('login', harry.get('/auth/login', headers))
  await see('no name', harry.post('/auth/login', { client_name: '', password: 'x' }, headers))
  await see('short password', harry.post('/auth/login', login('short'), headers))
  await harry.post('/auth/login', login(), { ...headers, ...firefox })
  await see('logged in', harry.get('/auth/', headers))
  await phone.post('/auth/login', login(), headers)
  await see('wrong password', new Client(fastify).post('/auth/login', login('an incorrect one'), headers))
  await see('password', harry.get('/auth/password', headers))
  await see('passwords differ', harry.post('/auth/password', { current_password: 'a', new_password: 'b', new_password_again: 'c' }, headers))
  await see('logout from another site', harry.get('/auth/logout', { ...headers, 'sec-fetch-site': 'cross-site' }))
  await see('another site', harry.post('/auth/logout', {}, { ...headers, 'sec-fetch-site': 'cross-site' }))
  await see('too large', harry.post('/auth/login', { client_name: 'x'.repeat(20_000) }, headers))
  await see('not allowed', harry.get('/auth/verify?user=Sally', headers))
  await see('not for strangers', new Client(fastify).post('/auth/sessions', { others: '1' }, headers))
  time += 15 * 60_000
  await see('sessions', harry.get('/auth/sessions', headers))
  await see('is it you', harry.post('/auth/sessions', { others: '1' }, headers))
  await see('which', harry.post('/auth/sessions', { others: '2' }, headers))
  await harry.post('/auth/sessions', { others: '1', password: 'correct horse battery' }, headers)
  await see('others ended', harry.get('/auth/sessions', headers))
  await harry.post('/auth/logout', {}, headers)
  await see('logged out', harry.get('/auth/', headers))
  for (let i = 0; i < 200 && pages.get('throttled')?.statusCode !== 429; i++) {
    await see('throttled', new Client(fastify).post('/auth/login', login('an incorrect one'), headers))
  }
  return pages
}

/** The visible texts of a page, in their order. */
function textsOf ({ body }: Answer): string[] {
  return body.replace(/<style>.*<\/style>/s, '').split(/<[^>]*>/)
    .map((text) => unescaped(text.replace('&middot;', '')).trim())
    .filter((text) => /\p{L}/u.test(text))
}

test('no page has an English text in another language', async (t) => {
  const names = ['hatcheck', 'Harry', 'Harry | hatcheck']
  const english = await tour(t, 'en')
  t.match(textsOf(english.get('throttled') as Answer).join(), 'Too many logins have failed.')
  t.match(textsOf(english.get('sessions') as Answer).join(), 'Firefox on Linux')
  for (const tag of translated) {
    const pages = await tour(t, tag)
    t.same([...pages.keys()], [...english.keys()])
    for (const [name, page] of pages) {
      const original = english.get(name) as Answer
      t.equal(page.statusCode, original.statusCode, name)
      t.match(page.headers['content-type'], 'text/html')
      t.equal(page.headers['content-language'], tag, `${name} in ${tag}`)
      t.same(textsOf(page).filter((text) => !names.includes(text) && textsOf(original).includes(text)), [], `${name} in ${tag}`)
      t.notMatch(page.body.replace(/<style>.*<\/style>/s, ''), /[{}]/, 'no value is left out')
    }
  }
})

test('times and plurals follow the language', async (t) => {
  const sessions = async (tag: LanguageTag): Promise<string> => textsOf((await tour(t, tag)).get('sessions') as Answer).join(' ')
  t.match(await sessions('en'), /Last seen 15 minutes ago Logged in 26 Nov 2026 12:00 UTC/)
  t.match(await sessions('de'), /Zuletzt aktiv: vor 15 Minuten Angemeldet: 26\. Nov\. 2026, 12:00 UTC/)
  t.match(await sessions('fr'), /Dernière activité\s: il y a 15 minutes Connexion\s: 26 nov\. 2026/)
  t.match(await sessions('es'), /Última actividad: hace 15 minutos Inicio de sesión: 26 nov 2026/)
  t.match(await sessions('ja'), /最終利用： ?15 分前 ログイン： ?2026年11月26日/)
  t.match(await sessions('zh'), /上次使用： ?15分钟前 登录时间： ?2026年11月26日/)
})
