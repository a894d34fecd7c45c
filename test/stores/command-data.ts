import { open, type Database } from 'lmdb'
import { join } from 'node:path'
import { Client, logIn, passwordOf } from '../clients/client.js'

/** Changes stored data without hatcheck. */
export async function meddle (folder: string, name: string, change: (database: Database<Buffer, string>) => unknown, isIndex = false): Promise<void> {
  const env = open({ path: join(folder, 'data/lmdb'), maxDbs: 16, noSubdir: false })
  const database = env.openDB<Buffer, string>({ name, encoding: isIndex ? 'ordered-binary' : 'binary', dupSort: isIndex })
  await env.transaction(() => change(database))
  await env.close()
}

export function cookieOf (url: string, name: string): Promise<string> {
  return logIn(url, name, passwordOf(name))
}

export async function listed (url: string, cookie: string): Promise<Array<{ handle: string, current: boolean }>> {
  const answer = await new Client(url).get('/sessions', { cookie, accept: 'application/json' })
  return answer.json<{ sessions: Array<{ handle: string, current: boolean }> }>().sessions
}
