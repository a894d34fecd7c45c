import type { Store } from 'express-session'
import { gated } from './gate.js'
import type { Resources } from './resources.js'

/** Opens a store made for express-session, as its README does, with a gate before its writes. */
export async function openExpressStore (variant: string, resources: Resources, memory: () => Store): Promise<Store> {
  return gated(await open(variant, resources, memory), ['set', 'touch', 'destroy'])
}

async function open (variant: string, resources: Resources, memory: () => Store): Promise<Store> {
  if (variant === 'memory') return memory()
  if (variant === 'redis') {
    const [{ RedisStore }, { createClient }] = await Promise.all([import('connect-redis' as string), import('redis' as string)])
    const client = createClient({ url: resources.redis })
    // Without a listener, a lost connection would end the process.
    client.on('error', () => {})
    await client.connect()
    return new RedisStore({ client })
  }
  const [{ default: session }, { default: connect }, { default: pg }] = await Promise.all([import('express-session'), import('connect-pg-simple' as string), import('pg')])
  const pool = new pg.Pool({ host: resources.postgres, user: 'hatcheck', database: 'postgres' })
  pool.on('error', () => {})
  return new (connect(session))({ pool, createTableIfMissing: true, errorLog () {} })
}
