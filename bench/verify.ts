import { strict as assert } from 'node:assert'
import { spawn, type ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../test/processes/free-port.js'
import { Child } from './child.js'
import { readCommandLine } from './command-line.js'
import { runCommand, say } from './command.js'
import { compile } from './compile.js'
import { headersOfHarry } from './harry.js'
import { markdownTable } from './markdown.js'
import { endProcess } from './processes.js'
import { percentile } from './statistics.js'

// What a request through nginx takes when nginx asks hatcheck first, beside the same nginx that asks a bare Fastify route.

const ROUNDS = 10
const ROUND_MS = 1_000
const WARM_UP_MS = 1_000
/** With one, nothing waits for a processor. With eight, the time is also that of the requests before it. */
const CONNECTIONS = [1, 8]

readCommandLine('npm run bench:verify', () => parseArgs({ options: {} }))

await runCommand('verify', async ({ folder, signal, teardown }) => {
  say('compiling')
  const file = await compile(join(folder, 'build'), signal)
  const fronts: Front[] = []
  for (const name of ['bare Fastify', 'hatcheck, LMDB']) {
    const child = new Child(file, name, { dataDir: join(folder, 'data'), redisUrl: '' })
    teardown(async () => { await child.stop() })
    await child.start()
    fronts.push({ name, port: await freePort(), upstream: new URL(child.url).host, headers: await headersOfHarry(child), took: new Map() })
  }
  const nginx = startNginx(folder, fronts, signal)
  teardown(async () => { await endProcess(nginx) })
  for (const front of fronts) await untilServed(front, nginx)
  for (const front of fronts) for (const connections of CONNECTIONS) await load(front, connections, WARM_UP_MS)
  for (const { took } of fronts) took.clear()
  for (let i = 0; i < ROUNDS; i++) {
    for (const front of i % 2 === 0 ? fronts : fronts.toReversed()) for (const connections of CONNECTIONS) await load(front, connections, ROUND_MS)
    say(`round ${i + 1} of ${ROUNDS}`)
  }
  console.log(`nginx with auth_request, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each\n`)
  console.log(markdownTable(['connections', 'it asks', 'requests', 'p50', 'p99'], CONNECTIONS.flatMap((connections) => {
    const [bare, own] = fronts.map(({ name, took }) => {
      const times = took.get(connections) ?? []
      return { name, count: times.length, p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
    })
    assert.ok(bare !== undefined && own !== undefined)
    return [
      ...[bare, own].map(({ name, count, p50, p99 }) => [connections, name, count, `${p50.toFixed(2)} ms`, `${p99.toFixed(2)} ms`]),
      [connections, 'ratio', '', (own.p50 / bare.p50).toFixed(2), (own.p99 / bare.p99).toFixed(2)]
    ]
  })))
})

/** A server of nginx, and what it asks. */
interface Front {
  name: string
  port: number
  /** Host and port of what it asks. */
  upstream: string
  headers: Record<string, string>
  /** The time of each request in ms, by the number of connections. */
  took: Map<number, number[]>
}

/** Its servers differ only in what they ask. They answer from nginx itself, so that nothing else is measured. */
function startNginx (folder: string, fronts: readonly Front[], signal: AbortSignal): ChildProcess {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')
  const servers = fronts.map(({ port, upstream }, i) => `
    upstream asked${i} { server ${upstream}; keepalive 32; }
    server {
      listen 127.0.0.1:${port};
      location / {
        auth_request /question;
        auth_request_set $name${i} $upstream_http_remote_user;
        add_header X-User $name${i};
        empty_gif;
      }
      location = /question {
        internal;
        proxy_pass http://asked${i}/verify;
        proxy_http_version 1.1;
        proxy_pass_request_headers off;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header Cookie $http_cookie;
      }
    }`)
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; master_process off; pid nginx.pid; error_log stderr error; events {}
    http { access_log off; keepalive_requests 1000000000; ${temporary} ${servers.join('\n')} }`)
  const nginx = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf'], { stdio: ['ignore', 'inherit', 'inherit'], signal })
  // Shows as an nginx that has ended.
  nginx.on('error', () => {})
  return nginx
}

async function untilServed ({ name, port, headers }: Front, nginx: ChildProcess): Promise<void> {
  const url = `http://127.0.0.1:${port}/`
  for (let tries = 0; ; tries++) {
    const response = await fetch(url, { headers }).catch(() => null)
    if (response !== null) {
      assert.equal(response.status, 200, `${name}: nginx answers ${response.status}`)
      break
    }
    assert.ok(tries < 100 && nginx.exitCode === null, 'nginx does not start: is it installed?')
    await sleep(50)
  }
  const { status } = await fetch(url)
  assert.equal(status, 401, `${name}: nginx answers ${status} to a visitor who is not logged in`)
}

/** Loads over kept-alive connections, each with one request at a time. By no more than node:http: its time is measured too. */
async function load ({ name, port, headers, took }: Front, connections: number, ms: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const times = took.get(connections) ?? []
  took.set(connections, times)
  const end = performance.now() + ms
  await Promise.all(Array.from({ length: connections }, async () => {
    while (performance.now() < end) {
      const begun = performance.now()
      const status = await new Promise<number | undefined>((resolve, reject) => {
        get({ host: '127.0.0.1', port, headers, agent }, (response) => { response.resume().once('end', () => { resolve(response.statusCode) }) }).once('error', reject)
      })
      assert.equal(status, 200, name)
      times.push(performance.now() - begun)
    }
  }))
  agent.destroy()
}
