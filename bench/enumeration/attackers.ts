import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWithParent } from '../processes.js'
import { ATTACKERS, login, WRONG } from './login.js'

// Logs in as many people at once, over and over: tsx attackers.ts <port>. At the first message it stops, and answers how often
// it got each status.

const [,, port] = process.argv
const ending = new AbortController()
endWithParent()
process.on('message', () => { ending.abort() })
const agent = new Agent({ keepAlive: true, maxSockets: ATTACKERS })
const statuses: Record<number, number> = {}
await Promise.all(Array.from({ length: ATTACKERS }, async (_, i) => {
  while (!ending.signal.aborted) {
    const { statusCode } = await login(Number(port), agent, `user ${i}`, WRONG)
    statuses[statusCode] = (statuses[statusCode] ?? 0) + 1
    // A person who is told to come again waits for a moment.
    await sleep(1_000 + Math.random() * 1_000)
  }
}))
agent.destroy()
process.send?.(statuses)
