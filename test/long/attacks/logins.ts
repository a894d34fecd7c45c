// Attacks on the admission of logins, against a running service. Prints the outcomes of the attempts.
//
//   npx tsx test/long/attacks/logins.ts http://127.0.0.1:3000 one-name NAME
//   npx tsx test/long/attacks/logins.ts http://127.0.0.1:3000 one-block                       needs TRUST_PROXY=127.0.0.1
//   npx tsx test/long/attacks/logins.ts http://127.0.0.1:3000 device-cookies NAME PASSWORD
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, statusesOf, type Answer } from '../../clients/client.js'
import { deviceOf, many } from './under-attack.js'

const WRONG = 'no password of anybody here'
/** Several times the number of passwords that can be hashed per second. */
const EVERY_MS = 3

type Statuses = Record<number, number>

/** Floods one name with wrong passwords, without waiting for earlier answers. */
export async function oneName (url: string, name: string, tries = 2_000): Promise<Statuses> {
  const answers: Array<Promise<Answer>> = []
  for (let i = 0; i < tries; i++) {
    answers.push(logIn(new Client(url, { agent }), name, WRONG))
    await sleep(EVERY_MS)
  }
  return statusesOf(await Promise.all(answers))
}

/** Tries many names, each from another /64 of one /48. */
export async function oneBlock (url: string, tries = 2_000): Promise<Statuses> {
  return await inTurns(tries, (i) => logIn(new Client(url, { agent }), `nobody ${i}`, WRONG, { 'x-forwarded-for': `2001:db8:66:${(i % 65_536).toString(16)}::1` }))
}

/** Collects device cookies by logging in, and guesses with all of them. */
export async function deviceCookies (url: string, name: string, password: string, cookies = 40, tries = 240): Promise<Statuses> {
  const devices: string[] = []
  for (let i = 0; i < cookies; i++) {
    const client = new Client(url, { agent })
    await logIn(client, name, password)
    devices.push(deviceOf(client))
  }
  return await inTurns(tries, (i) => logIn(new Client(url, { agent }), name, WRONG, { cookie: devices[i % cookies] as string }))
}

async function inTurns (tries: number, work: (i: number) => Promise<Answer>): Promise<Statuses> {
  const answers: Answer[] = []
  await many(tries, async (i) => { answers.push(await work(i)) })
  return statusesOf(answers)
}

/** Connections are reused, because the attack is the number of logins. */
const agent = new Agent({ keepAlive: true })

function logIn (client: Client, name: string, password: string, headers: Record<string, string> = {}): Promise<Answer> {
  return client.send({ method: 'POST', url: '/login', headers: { accept: 'application/json', ...headers }, payload: { client_name: name, password } })
}

const [, script, url = '', attack, ...args] = process.argv
if (script?.endsWith('attacks/logins.ts') === true) {
  const [name = 'Harry', password = ''] = args
  console.log(await (attack === 'one-block' ? oneBlock(url) : attack === 'device-cookies' ? deviceCookies(url, name, password) : oneName(url, name)))
}
