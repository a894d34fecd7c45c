import { test } from 'tap'
import { Client, userOf } from '../clients/client.js'
import { startService } from '../processes/service.js'

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
      const client = new Client(service.url)
      t.equal((await client.login(name)).statusCode, 303)
      alive.push({ name, cookie: client.cookie() })
    }
    const logOut = async (): Promise<void> => {
      const leaver = alive.shift() as Visit
      t.equal((await new Client(service.url).post('/logout', {}, { cookie: leaver.cookie })).statusCode, 303)
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
