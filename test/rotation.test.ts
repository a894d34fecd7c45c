import { execFileSync } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { openKeyring } from '../plugins/tickets/keyring.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { createTicketSigner } from '../plugins/tickets/ticket.js'
import { logInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { buildHost, needs, turn } from './helper.js'
import { Curl, startService } from './processes/service.js'
import { openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

const [oldKey, newKey, thirdKey] = [newSecret(), newSecret(), newSecret()]

async function host (t: Test, options: HatcheckOptions, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, options, server)
  fastify.post('/login', async (request) => { await request.login('Harry') })
  fastify.get('/', async (request) => request.user?.name ?? 'nobody')
  return fastify
}

async function loggedIn (fastify: FastifyInstance): Promise<string> {
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/login' })
  return client.cookieHeader
}

/** The user of a cookie, and the cookie that the answer sets. */
async function who (fastify: FastifyInstance, cookie: string): Promise<[string, string | undefined]> {
  const { body, statusCode, headers } = await fastify.inject({ url: '/', headers: { cookie } })
  return [statusCode === 200 ? body : String(statusCode), headers['set-cookie']?.toString().split(';')[0]]
}

test('keys are replaced without a restart', async (t) => {
  const fastify = await host(t, { secretKey: oldKey })
  const old = await loggedIn(fastify)

  fastify.sessions.setSecretKeys([newKey, oldKey])
  const [name, renewed] = await who(fastify, old)
  t.equal(name, 'Harry')
  t.match(renewed, /^hatcheck=/, 'signed anew, though the session was only read')
  t.equal(renewed?.split('.')[0], old.split('.')[0], 'the same session')
  t.strictSame(await who(fastify, renewed as string), ['Harry', undefined], 'once')
  t.match((await who(fastify, old))[1], /^hatcheck=/, 'a second tab with the old cookie gets the new one as well')

  fastify.sessions.setSecretKeys([Buffer.from(newKey)])
  t.strictSame(await who(fastify, old), ['nobody', undefined], 'a dropped key means an anonymous visitor: no error, and the cookie is unchanged')
  t.strictSame(await who(fastify, renewed as string), ['Harry', undefined])
})

test('invalid keys change nothing', async (t) => {
  const fastify = await host(t, { secretKey: oldKey })
  const old = await loggedIn(fastify)
  const refused: Array<[unknown, string | RegExp]> = [
    [[], 'Secret keys must be a list with at least one key in it.'],
    [newKey, 'Secret keys must be a list with at least one key in it.'],
    [[newKey, 'short'], /^A secret key must be at least 32 bytes long, but is 5\./],
    [['a'.repeat(40)], /^A secret key is easy to guess/],
    [[newKey, newKey], 'Secret keys must all be different.'],
    [[newKey, 5], 'A secret key must be text or bytes, not number.']
  ]
  for (const [keys, message] of refused) {
    t.throws(() => { fastify.sessions.setSecretKeys(keys as string[]) }, { code: 'HATCHECK_CONFIG', message })
  }
  t.throws(() => { fastify.sessions.reloadSecretKeys() }, { code: 'HATCHECK_CONFIG', message: 'The secret keys are not in a file. Call setSecretKeys, or set secretKeyFile.' })
  t.strictSame(await who(fastify, old), ['Harry', undefined])
})

test('a change of the key file is noticed', async (t) => {
  const file = join(t.testdir({ key: `${oldKey}\n` }), 'key')
  const fastify = await host(t, { secretKey: undefined, secretKeyFile: file })
  const old = await loggedIn(fastify)

  writeFileSync(`${file}.new`, `${newKey}\n\n  ${oldKey}\r\n`)
  renameSync(`${file}.new`, file)
  let renewed: string | undefined
  await until('the file was not noticed', async () => {
    const [name, cookie] = await who(fastify, old)
    if (name !== 'Harry') throw new Error('logged out')
    renewed = cookie
    return cookie !== undefined
  })

  writeFileSync(file, 'half a ke')
  t.throws(() => { fastify.sessions.reloadSecretKeys() }, { code: 'HATCHECK_CONFIG', message: /^secretKeyFile must be at least 32 bytes/ })
  t.equal((await who(fastify, old))[0], 'Harry', 'an invalid file changes nothing')
  unlinkSync(file)
  t.throws(() => { fastify.sessions.reloadSecretKeys() }, { code: 'HATCHECK_CONFIG', message: `The key file ${file} no longer exists: put it back.` })
  t.equal((await who(fastify, old))[0], 'Harry', 'nor does a missing file')

  writeFileSync(file, newKey)
  fastify.sessions.reloadSecretKeys()
  t.equal((await who(fastify, old))[0], 'nobody', 'the key file can be read again on demand')
  t.equal((await who(fastify, renewed as string))[0], 'Harry')
})

test('a key file that could not be used is read again until it can, without another sign of a change', async (t) => {
  const file = join(t.testdir({ key: `${oldKey}\n` }), 'key')
  const log: string[] = []
  const fastify = await host(t, { secretKey: undefined, secretKeyFile: file }, logInto(log, 'error'))
  const old = await loggedIn(fastify)
  const keys = `${newKey}\n${oldKey}\n`
  // As after a change of permissions: time and size of the file are the same before and after it.
  const write = (text: string): void => {
    writeFileSync(file, text)
    utimesSync(file, 1_800_000_000, 1_800_000_000)
  }
  write('x'.repeat(keys.length))
  await until('the flaw is in the log', () => log.some((line) => line.includes('the key file has changed but cannot be used; the keys stay as they were')))
  write(keys)
  await until('the keys are used', async () => (await who(fastify, old))[1] !== undefined)
  t.equal(log.length, 1)
})

test('a key file that cannot be used and then has its former keys again is in the log once each time', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const file = join(t.testdir({ key: oldKey }), 'key')
  const log: string[] = []
  const told = (details: unknown, text = details): void => { log.push(String(text)) }
  const keyring = openKeyring(resolveConfig({ secretKeyFile: file }, 'plugin'), { info: told, error: told })
  t.teardown(() => { keyring.stop() })
  /** Lets the keyring look at the file some times. */
  const look = async (): Promise<void> => {
    for (let times = 0; times < 5; times++) {
      mock.timers.tick(1_000)
      await stat(file)
      await turn()
    }
  }
  for (const [lines, content] of ['half a ke', `${oldKey}\n`].entries()) {
    writeFileSync(file, content)
    await until('it is in the log', async () => {
      await look()
      return log.length > lines
    })
    await look()
  }
  t.strictSame(log, ['the key file has changed but cannot be used; the keys stay as they were', 'the key file can be used again, and has the same keys as before'])
})

test('a closed application reads its key file no more', async (t) => {
  const file = join(t.testdir({ key: `${oldKey}\n` }), 'key')
  const logs: string[][] = [[], []]
  const [closed, open] = await Promise.all(logs.map(async (log) =>
    await host(t, { secretKey: undefined, secretKeyFile: file }, logInto(log, 'info'))))
  await Promise.all([closed, open].map(async (fastify) => { await fastify?.ready() }))
  await closed?.close()
  writeFileSync(file, `${newKey}\n${oldKey}\n`)
  const haveChanged = (log: string[] = []): boolean => log.some((line) => line.includes('secret keys replaced'))
  await until('the other application uses the new keys', () => haveChanged(logs[1]))
  t.notOk(haveChanged(logs[0]))
})

test('a key file behind a symbolic link that changes its target is noticed', async (t) => {
  const folder = t.testdir({ one: { key: oldKey }, two: { key: `${newKey}\n${oldKey}` } })
  symlinkSync('one', join(folder, 'now'))
  const fastify = await host(t, { secretKey: undefined, secretKeyFile: join(folder, 'now', 'key') })
  const old = await loggedIn(fastify)
  symlinkSync('two', join(folder, 'next'))
  renameSync(join(folder, 'next'), join(folder, 'now'))
  await until('the link was not noticed', async () => (await who(fastify, old))[1] !== undefined)
})

test('a key file that is overwritten by one of the same size and time is noticed', async (t) => {
  const file = join(t.testdir({ key: oldKey }), 'key')
  const keyring = openKeyring(resolveConfig({ secretKeyFile: file }, 'plugin'), { info () {}, error () {} })
  t.teardown(() => { keyring.stop() })
  for (const key of [newKey, thirdKey]) {
    // As cp -p and rsync do, from a file whose time says nothing.
    writeFileSync(file, key)
    utimesSync(file, 1, 1)
    await until('the change was not noticed', () => keyring.secrets[0]?.equals(Buffer.from(key)) === true)
  }
})

test('a key file that changes while the server starts is noticed', async (t) => {
  const file = join(t.testdir({ key: oldKey }), 'key')
  // Keeps the threads busy that look at files, so that the first look certainly comes after the change.
  const busy = Array.from({ length: 8 }, async () => await promisify(pbkdf2)('', '', 100_000, 32, 'sha256'))
  const keyring = openKeyring(resolveConfig({ secretKeyFile: file }, 'plugin'), { info () {}, error () {} })
  t.teardown(() => { keyring.stop() })
  writeFileSync(file, `${newKey}\n${oldKey}`)
  const id = keyring.signer.newId()
  const ticket = createTicketSigner([Buffer.from(newKey)]).sign(id)
  t.equal(keyring.signer.verify(ticket), null)
  await until('the change was not noticed', () => keyring.signer.verify(ticket) !== null)
  t.match(keyring.signer.verify(keyring.signer.sign(id)), { id, stale: false })
  await Promise.all(busy)
})

test('keys that the application has set stay until the key file changes', async (t) => {
  const file = join(t.testdir({ key: `${oldKey}\n` }), 'key')
  const fastify = await host(t, { secretKey: undefined, secretKeyFile: file })
  const old = await loggedIn(fastify)
  fastify.sessions.setSecretKeys([newKey, oldKey])
  const [, renewed] = await who(fastify, old)
  writeFileSync(file, `${oldKey}\n\n`)
  await sleep(2_500)
  t.equal((await who(fastify, renewed as string))[0], 'Harry', 'the file has the same keys')
  writeFileSync(file, `${thirdKey}\n${oldKey}\n`)
  await until('the change was not noticed', async () => (await who(fastify, renewed as string))[0] === 'nobody')
  t.equal((await who(fastify, old))[0], 'Harry')
})

test('a rolling key change over two servers logs no user out', async (t) => {
  const store = openStore(t, 'lmdb:')
  const servers = [await host(t, { sessionStore: store, secretKey: oldKey }), await host(t, { sessionStore: store, secretKey: oldKey })] as const
  const cookies = new Set<string>()

  /** Every user so far, and a new one at each server, sends a request to both servers. */
  async function ask (phase: string): Promise<void> {
    for (const server of servers) cookies.add(await loggedIn(server))
    for (const cookie of [...cookies]) {
      for (const [at, server] of servers.entries()) {
        const [name, renewed] = await who(server, cookie)
        t.equal(name, 'Harry', `${phase}, at server ${at + 1}`)
        if (renewed === undefined) continue
        cookies.delete(cookie)
        cookies.add(renewed)
      }
    }
  }

  await ask('before')
  for (const [phase, keys] of [
    ['the new key verifies', [oldKey, newKey]],
    ['the new key signs', [newKey, oldKey]],
    ['the old key is dropped', [newKey]]
  ] as const) {
    for (const [at, server] of servers.entries()) {
      server.sessions.setSecretKeys(keys)
      await ask(`${phase} at server ${at + 1}`)
    }
  }
  t.ok(cookies.size >= 8)
})

test('the order matters: a key that signs before it verifies everywhere logs users out at the other servers', async (t) => {
  const store = openStore(t, 'memory:')
  const first = await host(t, { sessionStore: store, secretKey: newKey, secretKeyFallbacks: [oldKey] })
  const second = await host(t, { sessionStore: store, secretKey: oldKey })
  t.strictSame(await who(second, await loggedIn(first)), ['nobody', undefined], 'anonymous, and no error')
})

test('SIGHUP makes the service read its key file again', needs('curl'), async (t) => {
  const folder = t.testdir({ key: oldKey })
  const file = join(folder, 'key')
  const { url, child, output, end } = await startService(t, folder, { SECRET_KEY_FILE: 'key', SIGNUP: 'open', SESSION_STORE: 'memory:', SESSION_COOKIE_SECURE: 'auto' })
  const curl = new Curl(folder, 'jar')
  const password = 'correct horse battery'
  t.equal((await curl.post(`${url}/login`, { client_name: 'Harry', password })).status, 303)
  const before = readFileSync(curl.jar, 'utf8')

  writeFileSync(file, `${newKey}\n${oldKey}\n`)
  child.kill('SIGHUP')
  await until('the keys were not replaced', () => output().includes('secret keys replaced: the first of 2 signs, all verify'))
  t.match((await curl.send(url)).body, 'Harry Your account is logged in.')
  t.not(readFileSync(curl.jar, 'utf8'), before, 'the jar has the new signature')

  writeFileSync(file, 'no key')
  child.kill('SIGHUP')
  await until('the flaw is logged', () => output().includes('the secret keys cannot be read again; the former keys stay in use'))
  t.match((await curl.send(url)).body, 'Harry Your account is logged in.', 'and the service continues')

  unlinkSync(file)
  execFileSync('mkfifo', [file])
  child.kill('SIGHUP')
  await until('the FIFO is refused', () => output().includes('is not a regular file'))
  t.match((await curl.send(url)).body, 'Harry Your account is logged in.', 'and the service does not wait for the FIFO')
  t.equal(await end(), 0)
  t.notMatch(output(), newKey, 'no key is in the log')
})

test('the service can change the key that it created itself', needs('curl'), async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'data', 'secret.key')
  const { url, child, output } = await startService(t, folder)
  const curl = new Curl(folder, 'jar')
  t.equal((await curl.post(`${url}/login`, { client_name: 'Harry', password: '12345678' })).status, 303)
  writeFileSync(file, `${thirdKey}\n${readFileSync(file, 'utf8')}`)
  child.kill('SIGHUP')
  await until('the keys were not replaced', () => output().includes('the first of 2 signs'))
  t.match((await curl.send(url)).body, 'Harry Your account is logged in.')
  mkdirSync(join(folder, 'aside'))
  renameSync(file, join(folder, 'aside', 'secret.key'))
  child.kill('SIGHUP')
  await until('the loss is logged', () => output().includes('no longer exists'))
  t.match((await curl.send(url)).body, 'Harry Your account is logged in.', 'no new key is made while it runs')
})
