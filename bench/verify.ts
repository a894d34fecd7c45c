import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child } from './child.js'
import { compile } from './compile.js'
import { freePort } from './free-port.js'
import { headersOfHarry } from './harry.js'
import { endWhenInterrupted } from './interrupt.js'
import { percentile } from './statistics.js'

// What a request through nginx takes when nginx asks hatcheck first, beside the same nginx that asks a bare Fastify route.

const ROUNDS = 10
const ROUND_MS = 2_000
const WARM_UP_MS = 1_000
const CONNECTIONS = 8

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-bench-'))
const children: Child[] = []
let nginx: ReturnType<typeof spawn> | undefined
const interrupt = endWhenInterrupted(cleanUp)

try {
  const file = await compile(folder, interrupt.signal)
  const fronts = []
  for (const name of ['bare Fastify', 'hatcheck, LMDB'] as const) {
    const child = new Child(file, name, { dataDir: join(folder, 'data'), redisUrl: '' })
    children.push(child)
    await child.start()
    fronts.push({ name, port: await freePort(), upstream: new URL(child.url).host, headers: await headersOfHarry(child), took: [] as number[] })
  }
  await startNginx(fronts)
  for (const front of fronts) {
    await load(front, WARM_UP_MS)
    front.took.length = 0
  }
  for (let i = 0; i < ROUNDS; i++) {
    for (const front of i % 2 === 0 ? fronts : fronts.toReversed()) await load(front, ROUND_MS)
    process.stderr.write(`round ${i + 1} of ${ROUNDS}\n`)
  }
  const [bare, own] = fronts.map(({ name, took }) => ({ name, count: took.length, p50: percentile(took, 0.5), p99: percentile(took, 0.99) }))
  assert.ok(bare !== undefined && own !== undefined)
  console.log(`nginx with auth_request, ${CONNECTIONS} connections, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each\n`)
  console.log('| it asks | requests | p50 | p99 |\n| --- | --- | --- | --- |')
  for (const { name, count, p50, p99 } of [bare, own]) console.log(`| ${name} | ${count} | ${p50.toFixed(2)} ms | ${p99.toFixed(2)} ms |`)
  console.log(`| ratio | | ${(own.p50 / bare.p50).toFixed(2)} | ${(own.p99 / bare.p99).toFixed(2)} |`)
} catch (error) {
  if (!interrupt.signal.aborted) throw error
} finally {
  await cleanUp()
}

async function cleanUp (): Promise<void> {
  if (nginx !== undefined && nginx.exitCode === null && nginx.signalCode === null) {
    const ended = once(nginx, 'exit')
    nginx.kill()
    await ended
  }
  await Promise.all(children.map((child) => child.stop()))
  rmSync(folder, { recursive: true, force: true })
}

interface Front {
  name: string
  port: number
  upstream: string
  headers: Record<string, string>
  /** In ms, each request. */
  took: number[]
}

/** One server block for each, the same but for whom it asks; what lies behind the question is nginx itself. */
async function startNginx (fronts: readonly Front[]): Promise<void> {
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
  nginx = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf'], { stdio: ['ignore', 'inherit', 'inherit'] })
  for (const front of fronts) {
    for (let tries = 0; ; tries++) {
      const response = await fetch(`http://127.0.0.1:${front.port}/`, { headers: front.headers }).catch(() => null)
      if (response !== null) {
        assert.equal(response.status, 200, `${front.name}: nginx answers ${response.status}`)
        break
      }
      assert.ok(tries < 100 && nginx.exitCode === null, 'nginx does not start')
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    assert.equal((await fetch(`http://127.0.0.1:${front.port}/`)).status, 401, front.name)
  }
}

/** Loads over kept connections, each with one request at a time, by no more than node:http: its time is measured too. */
async function load ({ name, port, headers, took }: Front, ms: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const end = performance.now() + ms
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    while (performance.now() < end) {
      const begun = performance.now()
      const status = await new Promise<number | undefined>((resolve, reject) => {
        get({ host: '127.0.0.1', port, headers, agent }, (response) => { response.resume().once('end', () => { resolve(response.statusCode) }) }).once('error', reject)
      })
      assert.equal(status, 200, name)
      took.push(performance.now() - begun)
    }
  }))
  agent.destroy()
}
