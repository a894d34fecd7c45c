import { open as openRaw } from 'lmdb'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'tap'
import type { Engine } from '../../plugins/storage/common/storage.js'
import { checkLmdbFiles } from '../../plugins/storage/lmdb/check.js'
import { openLmdb as openWith } from '../../plugins/storage/lmdb/open.js'
import { recordOf } from '../../plugins/store/contract/index.js'
import { logInto } from '../apps/log-lines.js'
import { build, needs } from '../helper.js'
import { compiled, hatcheckCli, hatcheckProcess, runServer } from '../processes/service.js'
import { mountSmallDisk, needsMounting } from '../programs/small-disk.js'
import { openLmdb } from '../stores/open-lmdb.js'
import { until } from '../time/loop-clock.js'

const open = (folder: string): Engine => openLmdb(folder, { now: () => recordOf().createdAt, maxBytes: 65_536 }, { info () {}, warn () {} })

/** A folder with some sessions in it. */
async function filled (folder: string): Promise<Buffer> {
  const { sessions, close } = open(folder)
  for (let i = 0; i < 40; i++) await sessions.create(`key${i}`, recordOf({ user: 'Harry', fields: { a: JSON.stringify('x'.repeat(i * 200)) } }))
  for (let i = 0; i < 40; i += 4) await sessions.remove(`key${i}`)
  await close()
  return readFileSync(join(folder, 'data.mdb'))
}

test('a folder can be opened again in one process, also while it is being written to', async (t) => {
  const folder = t.testdir()
  const first = open(folder)
  for (let i = 0; i < 20; i++) {
    const writing = first.sessions.create(`key${i}`, recordOf())
    // By then the write holds the lock of LMDB, and needs the event loop to continue.
    await new Promise((resolve) => { setImmediate(resolve) })
    const second = open(folder)
    t.equal(await writing, true)
    t.ok(second.sessions.read(`key${i}`))
    await second.sessions.remove(`key${i}`)
    await second.close()
    t.equal(first.sessions.read(`key${i}`), null, 'closing one handle leaves the other open')
  }
  await first.close()
  t.throws(() => first.sessions.read('key0'), 'closing the last handle closed the folder')
  const again = open(folder)
  t.equal(await again.sessions.create('anew', recordOf()), true)
  await again.close()
})

const DATA_REMEDY = 'Restore a backup of the folder, or move it away to begin with an empty one.'
const LOCK_REMEDY = 'Stop every process that uses the folder, delete lock.mdb and start again.'

test('a data file that is not a valid database is refused, with its path and the remedy', async (t) => {
  const sound = await filled(t.testdir())
  const page = 4_096
  const refused = (bytes: Buffer | string): string => {
    const folder = join(t.testdirName, 'refused')
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    writeFileSync(join(folder, 'data.mdb'), bytes)
    try {
      open(folder)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      t.equal(code, 'HATCHECK_CONFIG')
      t.notMatch(message, '\n')
      const start = `${join(folder, 'data.mdb')} `
      t.ok(message.startsWith(start))
      return message.slice(start.length)
    }
    return 'opened'
  }
  const damaged = (at: number, fill: number): Buffer => Buffer.from(sound).fill(fill, at, at + page)
  t.equal(refused('this is a text and no database\n'.repeat(200)), `is not an LMDB database of a version that hatcheck can read. ${DATA_REMEDY}`)
  t.equal(refused(''), `is empty. ${DATA_REMEDY}`)
  for (const length of [1, 100, 167]) t.match(refused(sound.subarray(0, length)), 'is not an LMDB database')
  for (const length of [168, page - 1, page, page + 100, 2 * page - 1, 2 * page, 2 * page + 1, sound.length >> 1]) {
    t.equal(refused(sound.subarray(0, length)), `is cut short. ${DATA_REMEDY}`, `cut to ${length}`)
  }
  for (const fill of [0, 0xff]) {
    t.match(refused(damaged(0, fill)), 'is not an LMDB database')
    t.match(refused(damaged(page, fill)), 'is damaged: one of its two meta pages is not valid')
  }
  const newest = sound.readBigUInt64LE(24 + 128) > sound.readBigUInt64LE(page + 24 + 128) ? 0 : page
  for (const at of [64, 112]) {
    const root = Number(sound.readBigUInt64LE(newest + 24 + at))
    for (const fill of [0, 0xff]) t.match(refused(damaged(root * page, fill)), `is damaged in page ${root}. `)
  }
  const another = Buffer.from(sound)
  another.writeUInt32LE(1, 24 + 4)
  t.match(refused(another), 'is not an LMDB database of a version that hatcheck can read')
  const odd = Buffer.from(sound)
  odd.writeUInt32LE(4_097, 24 + 24)
  t.match(refused(odd), 'is damaged: a page of 4097 bytes is impossible')
})

test('a data file that is cut at any length is refused or intact', async (t) => {
  const sound = await filled(t.testdir())
  let refusals = 0
  for (let length = sound.length; length > 0; length -= 5 * 4_096) {
    const folder = join(t.testdirName, `cut-${length}`)
    mkdirSync(folder)
    writeFileSync(join(folder, 'data.mdb'), sound.subarray(0, length))
    let storage
    try {
      storage = open(folder)
    } catch {
      refusals++
      continue
    }
    const { sessions, close } = storage
    t.equal((await sessions.ofUser('Harry')).length, 30, `${length} bytes`)
    await close()
  }
  t.ok(refusals > 2)
})

test('a data file without its last pages is opened if those pages are free', async (t) => {
  const folder = t.testdir()
  const { sessions, close } = open(folder)
  await sessions.create('kept', recordOf())
  await close()
  const env = openRaw({ path: folder, maxDbs: 16, noSubdir: false })
  const records = env.openDB({ name: 'sessions', encoding: 'binary' })
  // These pages are free again before they are ever written.
  await env.transaction(() => {
    records.put('large', Buffer.alloc(50_000))
    records.remove('large')
  })
  await env.close()
  const bytes = readFileSync(join(folder, 'data.mdb'))
  const lastPage = Math.max(...[0, 4_096].map((at) => Number(bytes.readBigUInt64LE(at + 24 + 120))))
  t.ok(bytes.length < (lastPage + 1) * 4_096, 'it is shorter')
  const again = open(folder)
  t.strictSame(await again.sessions.read('kept'), recordOf())
  await again.close()
})

test('a directory, link or pipe in place of a file, and an invalid lock file, are refused', async (t) => {
  const data = await filled(t.testdir())
  const folder = (name: string): string => {
    mkdirSync(join(t.testdirName, name))
    return join(t.testdirName, name)
  }
  const refusal = (at: string, message: string): void => { t.throws(() => open(at), { code: 'HATCHECK_CONFIG', message: `${at}/${message}` }) }
  for (const file of ['data.mdb', 'lock.mdb']) {
    const [directory, link, pipe] = [folder(`directory-${file}`), folder(`link-${file}`), folder(`pipe-${file}`)]
    mkdirSync(join(directory, file))
    refusal(directory, `${file} is not a regular file. Move it away.`)
    symlinkSync(join(link, 'nothing'), join(link, file))
    refusal(link, `${file} is a symbolic link to a file that does not exist. Remove the link, or put the file back.`)
    if (spawnSync('mkfifo', [join(pipe, file)]).status === 0) refusal(pipe, `${file} is not a regular file. Move it away.`)
  }
  const locks: Record<string, [Buffer | string, string?]> = {
    garbage: ['garbage\n'.repeat(1_000), `lock.mdb is not a lock file of LMDB. ${LOCK_REMEDY}`],
    short: ['gar', `lock.mdb is not a lock file of LMDB. ${LOCK_REMEDY}`],
    old: [Buffer.from('dec0efbe01000000', 'hex'), `lock.mdb is a lock file of another version of LMDB. ${LOCK_REMEDY}`],
    empty: [''],
    zeros: [Buffer.alloc(8_192)],
    cut: [readFileSync(join(t.testdirName, 'lock.mdb')).subarray(0, 100)]
  }
  for (const [name, [bytes, message]] of Object.entries(locks)) {
    const at = folder(`lock-${name}`)
    writeFileSync(join(at, 'data.mdb'), data)
    writeFileSync(join(at, 'lock.mdb'), bytes)
    if (message !== undefined) {
      refusal(at, message)
      continue
    }
    const { sessions, close } = open(at)
    t.equal((await sessions.ofUser('Harry')).length, 30, `${name}: LMDB creates a new lock file`)
    await close()
  }
})

test('the command line and the service report it in one line', async (t) => {
  const folder = t.testdir({ data: { lmdb: { 'data.mdb': 'this is a text and no database\n' } } })
  const stderr = `hatcheck: ${join(folder, 'data/lmdb/data.mdb')} is not an LMDB database of a version that hatcheck can read. ${DATA_REMEDY}\n`
  t.same(await hatcheckProcess(folder, ['user', 'list']), { code: 1, stdout: '', stderr })
  t.same(await hatcheckProcess(folder, ['serve'], { env: { PORT: '0' } }), { code: 1, stdout: '', stderr })
})

const asRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root, to be another user' }
const NOBODY = 65_534

test('files of another user and read-only files are refused', asRoot, async (t) => {
  const root = t.testdir()
  const sound = join(root, 'sound')
  await filled(sound)
  const asNobody = (name: string, change: (folder: string) => void): { status: number | null, stderr: string } => {
    const folder = join(root, name)
    cpSync(sound, folder, { recursive: true })
    for (const path of [folder, join(folder, 'data.mdb'), join(folder, 'lock.mdb')]) chownSync(path, NOBODY, NOBODY)
    change(folder)
    // An environment without the hooks of the test runner, which writes files of its own.
    const { status, stderr } = spawnSync('env', ['-i', `SESSION_STORE=lmdb:${folder}`, process.execPath, compiled('cli'), 'user', 'list'], {
      cwd: '/', uid: NOBODY, gid: NOBODY, encoding: 'utf8'
    })
    return { status, stderr }
  }
  t.same(asNobody('own', () => {}), { status: 0, stderr: `hatcheck: lmdb:${join(root, 'own')}\n` })
  const byRoot = await hatcheckCli('/', ['user', 'list'], { env: { SESSION_STORE: `lmdb:${join(root, 'own')}` } })
  const advice = `Run as user ${NOBODY}, or, if the service runs as user 0, run "chown 0 ${join(root, 'own')}".`
  t.ok(byRoot.code === 0 && byRoot.stderr.includes(advice), 'a change of the owner alone would lock the service out')
  t.same(asNobody('closed', (folder) => { chmodSync(folder, 0) }), {
    status: 1,
    stderr: `hatcheck: The data folder cannot be read (DATA_DIR, SESSION_STORE): EACCES: permission denied, access '${join(root, 'closed', 'data.mdb')}'.\n`
  }, 'and not taken for a missing store')
  for (const file of ['data.mdb', 'lock.mdb']) {
    const answer = (name: string, owner: number): object => ({
      status: 1,
      stderr: `hatcheck: ${join(root, name, file)} cannot be read and written (EACCES). Its owner is user ${owner}, and this process runs as user ${NOBODY}. Run as the owner of the file, or change its owner and mode.\n`
    })
    t.same(asNobody(`others-${file}`, (folder) => { chownSync(join(folder, file), 0, 0) }), answer(`others-${file}`, 0))
    t.same(asNobody(`read-only-${file}`, (folder) => { chmodSync(join(folder, file), 0o400) }), answer(`read-only-${file}`, NOBODY))
    t.same(asNobody(`closed-${file}`, (folder) => { chmodSync(join(folder, file), 0) }), answer(`closed-${file}`, NOBODY))
  }
})

test('a folder on a read-only file system is refused, with the reason', needsMounting(), async (t) => {
  const { folder } = mountSmallDisk(t, 4)
  await filled(folder)
  t.equal(spawnSync('mount', ['-o', 'remount,ro', folder]).status, 0)
  t.match(await hatcheckCli(folder, ['doctor'], { env: { SESSION_STORE: `lmdb:${folder}` } }), {
    code: 1,
    stdout: `${join(folder, 'data.mdb')} is on a read-only file system. Mount it so that it can be written, or copy its folder elsewhere.\n`
  })
})

const IN_NAMESPACE = ['--pid', '--fork', '--mount-proc', '--kill-child']
const namespaces = spawnSync('unshare', [...IN_NAMESPACE, 'true']).status === 0 ? needs('unshare') : { skip: 'needs the right to make a PID namespace' }

test('a process of another PID namespace, such as another container, is refused while the folder is in use', namespaces, async (t) => {
  const folder = t.testdir()
  const env = { PATH: process.env['PATH'], PORT: '0', WORKERS: '2' }
  const service = spawn('unshare', [...IN_NAMESPACE, process.execPath, compiled('server')], { cwd: folder, env })
  let output = ''
  service.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  t.teardown(() => { service.kill('SIGKILL') })
  await until('two workers listen', () => /workers: 2/.test(output))

  const isRefused = (program: string, ...args: string[]): void => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, env, encoding: 'utf8', timeout: 20_000 })
    t.same({ status, stdout }, { status: 1, stdout: '' })
    t.match(stderr, /^hatcheck: .+lmdb is in use by a process in another PID namespace, such as another container or its host\. Stop that process, [^\n]+\n$/)
  }
  isRefused('unshare', ...IN_NAMESPACE, process.execPath, compiled('cli'), 'user', 'list')
  const [, url] = /hatcheck listens at (http:\/\/[^\s"]+)/.exec(output) ?? []
  t.equal((await fetch(`${url}/readyz`)).status, 200, 'the first process continues')
  service.kill('SIGKILL')
  await until('its namespace is gone', async () => (await hatcheckProcess(folder, ['user', 'list'])).code === 0)
})

test('readiness reports that the data folder was moved, deleted or replaced under the service', async (t) => {
  const root = t.testdir()
  const [folder, elsewhere] = [join(root, 'lmdb'), join(root, 'elsewhere')]
  const causes: string[] = []
  const fastify = await build(t, { sessionStore: `lmdb:${folder}` }, logInto(causes, 'error'))
  const ready = async (): Promise<number> => (await fastify.inject('/readyz')).statusCode
  t.equal(await ready(), 200)

  renameSync(folder, elsewhere)
  t.equal(await ready(), 503)
  t.match(causes.join(''), 'data.mdb is missing: it was deleted or moved while it was open. Put it back, or restart hatcheck')
  cpSync(elsewhere, folder, { recursive: true })
  t.equal(await ready(), 503)
  // Only the first error of an outage is logged.
  await t.rejects(async () => { await fastify.hatcheck.storage.sessions.ping() }, { cause: { message: /data\.mdb is not the file that was opened\. Put that file back, or restart hatcheck$/ } })
  rmSync(folder, { recursive: true })
  renameSync(elsewhere, folder)
  t.equal(await ready(), 200, 'the original files are back')

  for (const file of ['data.mdb', 'lock.mdb']) {
    renameSync(join(folder, file), join(root, file))
    t.equal(await ready(), 503, `${file} alone`)
    renameSync(join(root, file), join(folder, file))
    t.equal(await ready(), 200)
  }
  rmSync(folder, { recursive: true })
  t.equal(await ready(), 503)
})

test('a folder that is replaced while it is opened is refused', async (t) => {
  const root = t.testdir()
  const [folder, elsewhere] = [join(root, 'lmdb'), join(root, 'elsewhere')]
  await open(folder).close()
  const replacing = {
    open (...args: Parameters<typeof openRaw>): unknown {
      const env = openRaw(...args)
      renameSync(folder, elsewhere)
      cpSync(elsewhere, folder, { recursive: true })
      return env
    }
  }
  t.throws(() => openWith(replacing as never, folder, { now: Date.now, maxBytes: 4_096 }, { info () {}, warn () {} }),
    { code: 'HATCHECK_CONFIG', message: /data\.mdb is not the file that was opened/ })
  await open(folder).close()
})

/** A process that has a folder open, and writes to it for each line of its input. */
const HOLD = `
import { open } from 'lmdb'
import { createInterface } from 'node:readline'
const env = open({ path: process.argv[1], maxDbs: 16, noSubdir: false })
env.get('a')
console.log('open')
for await (const line of createInterface({ input: process.stdin })) {
  await env.put(line, line)
  console.log('written')
}`

const procfs = existsSync('/proc/self/fd') ? {} : { skip: 'needs /proc' }

test('a folder whose files were deleted or replaced under a process is refused, since the process would crash', procfs, async (t) => {
  const folder = t.testdir()
  const [data, lock] = [join(folder, 'data.mdb'), join(folder, 'lock.mdb')]
  const backup = await filled(folder)
  const changes: Array<[what: string, change: () => void, message: RegExp]> = [
    ['lock.mdb is deleted', () => { rmSync(lock) }, /lock\.mdb was deleted while process \d+ uses the folder\. Stop that process, then start again\.$/],
    ['data.mdb is deleted', () => { rmSync(data) }, /data\.mdb was deleted or replaced while process \d+ uses the folder\. Stop that process, then start again\.$/],
    ['data.mdb is replaced', () => {
      rmSync(data)
      writeFileSync(data, backup)
    }, /data\.mdb was deleted or replaced while process \d+ uses the folder/]
  ]
  for (const [what, change, message] of changes) {
    const service = spawn(process.execPath, ['--input-type=module', '-e', HOLD, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: service.stdout })[Symbol.asyncIterator]()
    t.equal((await lines.next()).value, 'open')
    change()
    t.throws(() => open(folder), { code: 'HATCHECK_CONFIG', message }, what)
    const { code, stdout, stderr } = await hatcheckProcess(folder, ['doctor'], { env: { SESSION_STORE: `lmdb:${folder}` } })
    t.equal(code, 1)
    t.match(stdout + stderr, /mdb was deleted|There is no store/)
    service.stdin.write('write\n')
    t.equal((await lines.next()).value, 'written', 'the process goes on')
    service.kill('SIGKILL')
    await once(service, 'exit')
    await open(folder).close()
  }

  const first = open(folder)
  rmSync(data)
  writeFileSync(data, backup)
  t.throws(() => open(folder), { code: 'HATCHECK_CONFIG', message: /data\.mdb was deleted or replaced/ }, 'also in the same process')
  await first.close()
})

/** A process that stops itself within a write. */
const STOP_IN_A_WRITE = `
import { open } from 'lmdb'
const env = open({ path: process.argv[1], maxDbs: 16, noSubdir: false })
env.transactionSync(() => { process.kill(process.pid, 'SIGSTOP') })
await env.close()`

test('a folder whose write lock a stopped process keeps is refused in a few seconds, with the ID of the process', procfs, async (t) => {
  const folder = t.testdir()
  await filled(folder)
  const stopped = spawn(process.execPath, ['--input-type=module', '-e', STOP_IN_A_WRITE, folder], { stdio: 'inherit' })
  const { pid = 0 } = stopped
  t.teardown(() => { stopped.kill('SIGKILL') })
  await until('the process is stopped', () => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'latin1')))
  const env = { SESSION_STORE: `lmdb:${folder}` }
  const refused = { code: 1, stdout: '', stderr: `hatcheck: ${folder} cannot be written: process ${pid} has been writing to it for 5 s, and is stopped or hangs. Continue that process (kill -CONT ${pid}), or end it.\n` }
  t.same(await hatcheckProcess(folder, ['user', 'list'], { env }), refused)
  t.same(await runServer(folder, env), refused)
  t.equal((await hatcheckProcess(folder, ['doctor'], { env })).code, 0, 'doctor only reads')

  const { wait } = Atomics
  t.intercept(Atomics, 'wait', {
    value (...args: Parameters<typeof wait>) {
      process.kill(pid, 'SIGCONT')
      return wait(...args)
    }
  })
  await open(folder).close()
  t.pass('a process that continues is waited for')
})

test('a lock of the C library musl, which begins with a constant, is not taken for the thread with that ID', procfs, async (t) => {
  const folder = t.testdir()
  await filled(folder)
  const lock = join(folder, 'lock.mdb')
  const bytes = readFileSync(lock)
  const fd = openSync(lock, 'r')
  const idle = spawn('sleep', ['600'], { stdio: [fd, 'ignore', 'ignore'] })
  t.teardown(() => { idle.kill() })
  closeSync(fd)
  for (const at of [64, 128]) {
    bytes.fill(0, at, at + 40)
    bytes.writeUInt32LE(idle.pid ?? 0, at)
  }
  writeFileSync(lock, bytes)
  const { sessions, close } = open(folder)
  t.not(await sessions.read('key1'), null)
  await close()
})

test('a folder in which another process has made only data.mdb so far is not refused', procfs, async (t) => {
  const folder = t.testdir()
  const [data, lock] = [join(folder, 'data.mdb'), join(folder, 'lock.mdb')]
  await filled(folder)
  const itsLock = readFileSync(lock)
  rmSync(lock)
  const fd = openSync(data, 'r')
  let pauses = 0
  t.intercept(Atomics, 'wait', {
    value () {
      pauses++
      writeFileSync(lock, itsLock)
    }
  })
  checkLmdbFiles(folder)
  t.equal(pauses, 1)
  closeSync(fd)
})
