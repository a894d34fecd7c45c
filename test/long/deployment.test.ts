import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { Client, logIn, passwordOf, userOf, type Answer } from '../clients/client.js'
import { needs, testKey } from '../helper.js'
import { pageAt } from '../pages/pages.js'
import { assertShown, blocksOf, stepsOf } from '../pages/walk.js'
import { checkout, childEnvironment, run, startProgram } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { Curl, compiled, hatcheckCli, startService } from '../processes/service.js'
import { startRedis } from '../programs/redis.js'
import { needsMounting } from '../programs/small-disk.js'
import { until } from '../time/loop-clock.js'

const examples = join(checkout, 'examples')
const unit = join(examples, 'systemd/hatcheck.service')
const sandbox = join(checkout, 'test/fixtures/sandbox.py')

test('systemd accepts the unit file, and its security rating is the one in the README', needs('systemd-analyze'), async (t) => {
  const folder = t.testdir()
  // systemd checks that the program exists, and Node may be elsewhere here.
  const copy = join(folder, 'hatcheck.service')
  writeFileSync(copy, readFileSync(unit, 'utf8').replace('/usr/bin/node', process.execPath))
  t.same(await run('systemd-analyze', ['verify', copy], folder), { code: 0, stdout: '', stderr: '' })
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', copy], folder)
  const [, rated] = /Overall exposure level for hatcheck\.service: ([\d.]+)/.exec(stdout) ?? []
  const [, promised] = /rates the exposure: ([\d.]+) of 10/.exec(readFileSync(join(examples, 'systemd/README.md'), 'utf8')) ?? []
  // Versions of systemd differ in a few settings.
  t.ok(Math.abs(Number(rated) - Number(promised)) <= 0.3, `${rated} is about ${promised}`)
})

test('the service works within the restrictions of the unit: system calls, addresses, capabilities, file system', { skip: needs('systemd-analyze', 'setpriv', 'python3').skip || needsMounting().skip }, async (t) => {
  const folder = t.testdir({ data: {} })
  writeFileSync(join(folder, 'secret.key'), testKey)
  writeFileSync(join(folder, '.env'), readFileSync(join(examples, 'systemd/hatcheck.env'), 'utf8')
    .replaceAll('/var/lib/hatcheck', join(folder, 'data')).replaceAll('/etc/hatcheck', folder).replace('PORT=3000', '').replace('SIGNUP=closed', 'SIGNUP=open'))
  const confined = ['unshare', '--mount', 'sh', '-c', 'mount --make-rprivate / && mount --bind data data && mount -o remount,bind,ro / && cd "$PWD" && exec env -u NODE_OPTIONS "$@"', 'sh',
    'setpriv', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all', 'python3', sandbox, unit] as const
  const [program, ...args] = confined
  for (const forbidden of ['touch secret.key', 'unshare --net true', 'mount --bind data data']) {
    t.not((await run(program, [...args, 'sh', '-c', forbidden], folder)).code, 0, forbidden)
  }
  t.equal((await run(program, [...args, 'sh', '-c', 'touch data/x'], folder)).code, 0)
  // Every address, so that the service asks for all network interfaces.
  const { address, stop } = await startProgram(program, [...args, process.execPath, compiled('server')], folder, { HOST: '0.0.0.0', SESSION_COOKIE_SECURE: 'false' })
  const cookie = await logIn(address, 'Harry', passwordOf('Harry'))
  t.equal(await userOf(address, cookie), 'Harry')
  await new Client(address).post('/logout', {}, { cookie })
  t.equal(await userOf(address, cookie), null)
  t.equal(await stop(), 0)
})

test('the Containerfile builds a folder that runs, stops as process 1, and answers its health check', { skip: needs('unshare').skip || needsMounting().skip }, async (t) => {
  const folder = t.testdir({ data: {} })
  const data = join(folder, 'data')
  const image = await follow(t, join(examples, 'container/Containerfile'), folder)
  t.strictSame(readdirSync(image.folder).sort(), ['dist', 'node_modules', 'package.json'], 'it contains nothing else')
  t.notOk(existsSync(join(image.folder, 'node_modules/typescript')), 'no package for development')
  t.match(image, { settings: { USER: '1000', STOPSIGNAL: 'SIGTERM', VOLUME: '/data' }, env: { HOST: '0.0.0.0', DATA_DIR: '/data', NODE_ENV: 'production' } })
  t.equal((await run('find', [image.folder, '-name', '*.test.*', '-path', '*hatcheck*'], data)).stdout, '')

  const env = { ...image.env, DATA_DIR: data, PORT: String(await freePort()) }
  const asFirst = ['--pid', '--fork', '--kill-child', 'env', '-u', 'NODE_OPTIONS', ...image.command]
  const [node = '', ...check] = JSON.parse(image.health) as string[]
  const isHealthy = async (): Promise<boolean> => (await run(node, check, data, env)).code === 0
  t.equal(node, 'node')
  t.notOk(await isHealthy(), 'nothing listens yet')
  t.match(await run('unshare', asFirst, image.folder, env), { code: 1, stderr: /SECRET_KEY \(or SECRET_KEY_FILE\) must be set/ })

  writeFileSync(join(data, 'key'), testKey)
  const child = spawn('unshare', asFirst, { cwd: image.folder, env: childEnvironment({ ...env, SECRET_KEY_FILE: join(data, 'key') }), stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  let log = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { log += text })
  await until('it listens', () => log.includes('hatcheck listens at'))
  t.match(log, '"pid":1,')
  t.ok(await isHealthy())
  t.equal((await run('node', ['dist/cli.js', 'user', 'list'], image.folder, { ...env, SECRET_KEY: testKey })).code, 0, 'what podman exec starts')
  signalOnlyChild(child, 'SIGTERM')
  t.strictSame(await ended, [0, null])
  t.match(log, 'SIGTERM received: hatcheck stops')
})

test('the settings and commands in docs/production.md do what the page says', needs('curl'), async (t) => {
  const page = pageAt('docs/production.md')
  const [proxy = '', domain = '', ...otherSettings] = blocksOf(page, 'env')
  const [accounts = '', rotation = '', backup = '', restore = '', ...otherCommands] = blocksOf(page, 'sh')
  t.strictSame([...otherSettings, ...otherCommands], [])
  const folder = t.testdir({ '.env': `${proxy}${domain}SECRET_KEY_FILE=secret.key\n` })
  const type = async (block: string): Promise<void> => {
    for (const step of stepsOf(block)) {
      const { code, stdout, stderr } = await run('bash', ['--norc', '-c', step.command.replace(/npx hatcheck|node \/opt\/hatcheck\/dist\/cli\.js/, `"${process.execPath}" "${compiled('cli')}"`)], folder)
      t.equal(code, 0, `${step.command}: ${stderr}`)
      assertShown(t, stdout, step)
    }
  }
  writeFileSync(join(folder, 'secret.key'), testKey, { mode: 0o640 })
  await type(accounts)
  const service = await startService(t, folder)
  const curl = new Curl(folder, 'jar')
  const visitor = ['-H', 'Host: login.example.com', '-H', 'X-Forwarded-Proto: https', '-H', 'Accept: application/json']
  // By itself curl would not send a Secure cookie over http, which the proxy speaks.
  const isIn = async (url: string, cookie: string): Promise<boolean> => (await curl.send(...visitor, '-H', `Cookie: ${cookie}`, url)).body.includes('"name":"Harry"')
  const credentials = { client_name: 'Harry', password: 'correct horse battery' }

  const answer = await curl.post(`${service.url}/login`, { ...credentials, next: 'https://app.example.com/reports' }, ...visitor.slice(0, 4))
  t.match(answer, { status: 303, headers: { location: 'https://app.example.com/reports', 'set-cookie': /^__Secure-hatcheck=[^;]+; Domain=example\.com; Path=\/; HttpOnly; Secure; SameSite=Lax$/m } })
  t.equal((await curl.post(`${service.url}/login`, credentials, ...visitor.slice(0, 2))).status, 400, 'a proxy that does not send X-Forwarded-Proto')
  const cookie = /__Secure-hatcheck=[^;]+/.exec(answer.headers['set-cookie'] ?? '')?.[0] ?? ''
  t.ok(await isIn(service.url, cookie))

  await type(rotation)
  t.equal(statSync(join(folder, 'secret.key')).mode & 0o777, 0o640)
  await until('the new key is seen', () => service.output().includes('the first of 2 signs'))
  t.ok(await isIn(service.url, cookie), 'no user is logged out')

  await type(backup)
  t.equal(await service.end('SIGTERM'), 0)
  await type(restore)
  const restored = await startService(t, folder)
  t.notOk(await isIn(restored.url, cookie), 'an earlier session is not restored')
  t.equal((await curl.post(`${restored.url}/login`, credentials, ...visitor.slice(0, 4))).status, 303)
})

test('the service needs every Redis command that the documentation allows it, and no other', needs('redis-server'), async (t) => {
  const folder = t.testdir()
  const page = pageAt('docs/redis.md')
  const [settings = '', users = '', newPassword = '', ...others] = blocksOf(page, 'text')
  t.strictSame(others, [])
  t.match(blocksOf(page, 'env'), [/^SESSION_STORE=rediss:\/\//m])
  // The test itself uses the default user.
  writeFileSync(join(folder, 'users.acl'), users.replace('THE-PASSWORD', 'hunter2').replace('user default off', 'user default on nopass ~* &* +@all'))
  writeFileSync(join(folder, 'redis.conf'), settings.replace('/etc/redis/users.acl', `"${join(folder, 'users.acl')}"`))
  const redis = await startRedis(t, { folder, config: join(folder, 'redis.conf') })
  const env = { SECRET_KEY: testKey, SIGNUP: 'open', SESSIONS_PER_USER: '2', SESSION_STORE: `redis://hatcheck:hunter2@127.0.0.1:${redis.port}` }
  await redis.client.call('ACL', 'LOG', 'RESET')
  await redis.client.config('RESETSTAT')
  const { url, end } = await startService(t, folder, env)
  const send = (method: string, path: string, cookie: string, payload?: object): Promise<Answer> =>
    new Client(url).send({ method, url: path, headers: { cookie, accept: 'application/json' }, ...payload !== undefined && { payload } })
  const login = (name: string): Promise<string> => logIn(url, name, passwordOf(name))
  // Index entries of sessions that Redis has dropped: hatcheck looks for the sessions and removes the entries.
  await redis.client.zadd('hatcheck:user:Harry', ...Array.from({ length: 60 }, (_, i) => [i, `forgotten ${i}`]).flat())
  // More than two, so that the oldest end. One after another, since each waits for its turn.
  const [first = '', , , last = ''] = [await login('Harry'), await login('Harry'), await login('Harry'), await login('Harry')]
  t.strictSame([await userOf(url, first), await userOf(url, last)], [null, 'Harry'])
  t.equal(await logIn(url, 'Harry', 'a wrong password'), '')
  t.equal((await send('PUT', '/session/cart', last, ['pear'])).statusCode, 201)
  t.equal((await send('PUT', '/session/cart', last, ['apple'])).statusCode, 204)
  t.equal((await send('DELETE', '/session/cart', last)).statusCode, 200)
  t.equal((await send('POST', '/password', last, { current_password: passwordOf('Harry'), new_password: 'battery horse correct staple' })).statusCode, 200)
  t.equal((await send('DELETE', '/sessions', await login('Sally'))).statusCode, 200)
  t.equal((await send('GET', '/sessions', await login('Sally'))).statusCode, 200)
  await send('POST', '/logout', await login('Sally'))
  t.equal((await new Client(url).get('/readyz')).statusCode, 200)
  for (const args of [['user', 'list'], ['user', 'disable', 'Sally'], ['sessions', 'list']]) t.match(await hatcheckCli(folder, args, { env }), { code: 0, stderr: '' }, args.join(' '))

  await until('the index is repaired', async () => await redis.client.zcard('hatcheck:user:Harry') < 50)
  const called = new Set((await redis.commandCalls()).keys())
  const granted = [...users.matchAll(/ \+([\w|]+)/g)].map(([, name = '']) => name)
  t.strictSame(await redis.client.call('ACL', 'LOG'), [], 'nothing was refused')
  t.ok(granted.length > 15)
  t.strictSame(granted.filter((name) => !called.has(name)), [], 'all of it is used')

  const [add = '', remove = ''] = newPassword.replace('THE-NEW-PASSWORD', 'hunter3').replace('THE-PASSWORD', 'hunter2').trim().split('\n')
  const acl = async (command: string): Promise<void> => { await redis.client.call(...command.split(' ') as [string, ...string[]]) }
  const connects = async (password: string): Promise<boolean> =>
    (await hatcheckCli(folder, ['user', 'list'], { env: { ...env, SESSION_STORE: env.SESSION_STORE.replace('hunter2', password) } })).code === 0
  await acl(add)
  t.strictSame([await connects('hunter2'), await connects('hunter3')], [true, true], 'the user has both passwords')
  await acl(remove)
  t.strictSame([await connects('hunter2'), await connects('hunter3')], [false, true], 'the former password is gone')
  t.equal((await new Client(url).get('/readyz')).statusCode, 200, 'an open connection outlasts its password')
  t.equal(await end(), 0)
})

interface Image {
  folder: string
  env: Record<string, string>
  settings: Record<string, string>
  health: string
  command: string[]
}

/**
 * Runs the steps of a Containerfile, with a folder for each stage instead of an image: `COPY` and `RUN` for real, but
 * without root's own folders, and with the Node of this machine. Uses the installed development packages, and does not
 * check the types again.
 */
async function follow (t: Test, file: string, folder: string): Promise<Image> {
  const stages = new Map<string, string>()
  let image: Image = { folder: '', env: {}, settings: {}, health: '', command: [] }
  const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  for (const line of lines) {
    const [, word = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    switch (word) {
      case 'FROM': {
        const stage = join(folder, `stage${stages.size}`)
        mkdirSync(stage)
        stages.set(/ AS (\w+)$/.exec(rest)?.[1] ?? '', stage)
        image = { folder: stage, env: {}, settings: {}, health: '', command: [] }
        break
      }
      case 'WORKDIR':
        t.equal(rest, '/app')
        break
      case 'COPY': {
        const [, stage, names = ''] = /^(?:--from=(\w+) )?(.+)$/.exec(rest) ?? []
        const words = names.split(' ')
        const target = words.pop() ?? ''
        for (const name of words) {
          const to = join(image.folder, target === './' ? name : target)
          if (stage === undefined) cpSync(join(checkout, name), to, { recursive: true })
          else renameSync(name.replace(/^\/app/, stages.get(stage) ?? ''), to)
        }
        break
      }
      case 'RUN':
        if (rest === 'npm ci --ignore-scripts') symlinkSync(join(checkout, 'node_modules'), join(image.folder, 'node_modules'))
        else if (!rest.includes('/data')) t.match(await run('sh', ['-c', rest.replace('npm ci', 'npm ci --prefer-offline').replace('run build', 'run build -- --noCheck')], image.folder), { code: 0 }, rest)
        break
      case 'ENV':
        for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) image.env[name] = value
        break
      case 'HEALTHCHECK':
        image.health = rest.slice(rest.indexOf('['))
        break
      case 'CMD':
        image.command = JSON.parse(rest) as string[]
        break
      case 'USER': case 'VOLUME': case 'EXPOSE': case 'STOPSIGNAL':
        image.settings[word] = rest
        break
      default:
        throw new Error(`a step that this test does not know: ${line}`)
    }
  }
  return image
}

/** To the one that a program like unshare has started. */
function signalOnlyChild ({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')), signal)
}
