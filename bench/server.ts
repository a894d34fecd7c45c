import Fastify, { type FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import { keepNextTickFast } from '../plugins/process/next-tick.js'
import { contenders, type ContenderName } from './contenders.js'

// One contender: node server.js <contender> <data folder>. It lives as long as its parent.

/** The first message to the parent. */
export interface Started {
  port: number
}

/** The answer to every message of the parent: what this process has used so far. */
export interface Usage {
  /** CPU time of all threads, in µs. */
  cpuMicros: number
  /** What it has in memory now, in bytes. */
  residentBytes: number
}

const [,, name, dataDir = ''] = process.argv

// Whether a process loses this depends on how much it loads, and on the moment: nothing to compare contenders by.
keepNextTickFast()
const fastify = Fastify({ logger: false }) as unknown as FastifyInstance
// Ctrl-C reaches every process of a terminal; here the parent decides.
process.on('SIGINT', () => {})
process.on('disconnect', () => { fastify.close().finally(() => { process.exit() }) })
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuMicros: user + system, residentBytes: process.memoryUsage.rss() } satisfies Usage)
})

await contenders[name as ContenderName](fastify, dataDir)
await fastify.listen({ host: '127.0.0.1', port: 0 })
// The parent may have gone meanwhile.
if (process.connected) process.send?.({ port: (fastify.server.address() as AddressInfo).port } satisfies Started)
