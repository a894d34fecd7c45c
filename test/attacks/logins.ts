// Attacks on the admission of logins, against a running service. Prints what became of the tries.
//
//   npx tsx test/attacks/logins.ts http://127.0.0.1:3000 one-name NAME
//   npx tsx test/attacks/logins.ts http://127.0.0.1:3000 one-block                       needs TRUST_PROXY=127.0.0.1
//   npx tsx test/attacks/logins.ts http://127.0.0.1:3000 device-cookies NAME PASSWORD
import { many, send, type Answer } from './under-attack.js'

const WRONG = 'no password of anybody here'

type Statuses = Record<number, number>

/** Floods one name with wrong passwords. */
export async function oneName (url: string, name: string, tries = 2_000): Promise<Statuses> {
  return await count(tries, () => logIn(url, name, WRONG), 100)
}

/** Tries many names, each from another /64 of one /48. */
export async function oneBlock (url: string, tries = 2_000): Promise<Statuses> {
  return await count(tries, (i) => logIn(url, `nobody ${i}`, WRONG, { 'x-forwarded-for': `2001:db8:66:${(i % 65_536).toString(16)}::1` }), 8)
}

/** Collects device cookies by logging in, and guesses with all of them. */
export async function deviceCookies (url: string, name: string, password: string, cookies = 40, tries = 240): Promise<Statuses> {
  const devices: string[] = []
  for (let i = 0; i < cookies; i++) {
    const { cookies: set } = await logIn(url, name, password)
    devices.push(set.find((cookie) => cookie.includes('-device=')) ?? '')
  }
  return await count(tries, (i) => logIn(url, name, WRONG, { cookie: devices[i % cookies] as string }), 8)
}

async function count (tries: number, work: (i: number) => Promise<Answer>, atOnce: number): Promise<Statuses> {
  const statuses: Statuses = {}
  await many(tries, async (i) => {
    const { status } = await work(i)
    statuses[status] = (statuses[status] ?? 0) + 1
  }, atOnce)
  return statuses
}

function logIn (url: string, name: string, password: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send(`${url}/login`, {
    method: 'POST',
    headers: { host: new URL(url).host, 'content-type': 'application/json', accept: 'application/json', ...headers },
    body: JSON.stringify({ client_name: name, password })
  })
}

const [, script, url = '', attack, ...args] = process.argv
if (script?.endsWith('attacks/logins.ts') === true) {
  const [name = 'Harry', password = ''] = args
  console.log(await (attack === 'one-block' ? oneBlock(url) : attack === 'device-cookies' ? deviceCookies(url, name, password) : oneName(url, name)))
}
