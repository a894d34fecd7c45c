import { test } from 'tap'
import { startService } from '../service.js'
import { post, send } from './attacks/under-attack.js'

interface Visit {
  name: string
  cookie: string
}

test('every acknowledged login and logout persists, whenever the service is killed', async (t) => {
  const folder = t.testdir()
  const alive: Visit[] = []
  const ended: Visit[] = []
  for (let round = 0; round < 8; round++) {
    const service = await startService(t, folder)
    // Checks what the last kill followed; the rest is checked at the end.
    await assertHolds(service.url, alive.slice(-1), ended.slice(-1))
    const logIn = async (): Promise<void> => {
      const name = `user ${round}`
      const response = await post(`${service.url}/login`, { client_name: name, password: '12345678' })
      t.equal(response.status, 303)
      alive.push({ name, cookie: response.cookies.find((cookie) => cookie.startsWith('hatcheck=')) ?? '' })
    }
    const logOut = async (): Promise<void> => {
      const leaver = alive.shift() as Visit
      t.equal((await post(`${service.url}/logout`, {}, { cookie: leaver.cookie })).status, 303)
      ended.push(leaver)
    }
    // The service is killed as soon as the headers of the answer arrive: after a logout and after a login in turn.
    await logIn()
    if (round % 2 === 1) await logOut()
    t.equal(await service.end('SIGKILL'), 'SIGKILL')
  }
  t.same([alive.length, ended.length], [4, 4])
  const last = await startService(t, folder)
  await assertHolds(last.url, alive, ended)

  async function assertHolds (url: string, alive: readonly Visit[], ended: readonly Visit[]): Promise<void> {
    for (const { name, cookie } of alive) t.equal(await userOf(url, cookie), name, `${name} is logged in`)
    for (const { name, cookie } of ended) t.equal(await userOf(url, cookie), null, `${name} is logged out`)
  }
})

async function userOf (url: string, cookie: string): Promise<string | null> {
  const { body } = await send(`${url}/`, { headers: { cookie, accept: 'application/json' } })
  return (JSON.parse(body) as { user: { name: string } | null }).user?.name ?? null
}
