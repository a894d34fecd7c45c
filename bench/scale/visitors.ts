import { strict as assert } from 'node:assert'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWithParent } from '../processes.js'
import { percentilesOf, type Percentiles } from './percentiles.js'

// Visitors of an application, in a process of their own: node visitors.js <url> <cookie>…
// Half of them read their session, the others change it. At each message, it answers how long the requests since the last took.

/** How long requests took, in ms. */
export type Requests = Record<'read' | 'change', Percentiles & { readonly count: number, readonly failed: number }>

const PAUSE_MS = 1

const [,, url = '', ...cookies] = process.argv
const agent = new Agent({ keepAlive: true })
let took: Record<keyof Requests, number[]> = { read: [], change: [] }
let failed: Record<keyof Requests, number> = { read: 0, change: 0 }

endWithParent()
process.on('message', () => {
  const answer = { read: summaryOf('read'), change: summaryOf('change') }
  took = { read: [], change: [] }
  failed = { read: 0, change: 0 }
  process.send?.(answer satisfies Requests)
})

await Promise.all(cookies.map(async (cookie, i) => {
  const kind = i % 2 === 0 ? 'read' : 'change'
  for (;;) {
    const begun = performance.now()
    const status = await statusOf(kind === 'read' ? 'GET' : 'POST', cookie)
    // On a busy machine, Redis may miss its deadline.
    if (status === 503) failed[kind]++
    else assert.equal(status, 200, `${kind}: the application answers ${status}`)
    took[kind].push(performance.now() - begun)
    await sleep(PAUSE_MS)
  }
}))

function summaryOf (kind: keyof Requests): Requests[keyof Requests] {
  return { ...percentilesOf(took[kind]), count: took[kind].length, failed: failed[kind] }
}

async function statusOf (method: string, cookie: string): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    request(url, { method, agent, headers: { cookie } }, (response) => { response.resume().once('end', () => { resolve(response.statusCode) }) }).once('error', reject).end()
  })
}
