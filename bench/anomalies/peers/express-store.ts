import type { Store } from 'express-session'
import { gated } from './gate.js'
import type { Place } from './place.js'

/** Opens a store made for express-session as its README does; undefined is the memory. */
export async function openExpressStore (variant: string, place: Place, memory: () => Store): Promise<Store> {
  return gated(await open(variant, place, memory), ['set', 'touch', 'destroy'])
}

async function open (variant: string, place: Place, memory: () => Store): Promise<Store> {
  if (variant === 'memory') return memory()
  if (variant === 'redis') {
    const [{ RedisStore }, { createClient }] = await Promise.all([import('connect-redis' as string), import('redis' as string)])
    const client = createClient({ url: place.redis })
    // Without a listener, a lost connection would end the process.
    client.on('error', () => {})
    await client.connect()
    return new RedisStore({ client })
  }
  const [{ default: session }, { default: connect }, { default: pg }] = await Promise.all([import('express-session'), import('connect-pg-simple' as string), import('pg')])
  const pool = new pg.Pool({ host: place.postgres, user: 'hatcheck', database: 'postgres' })
  pool.on('error', () => {})
  return new (connect(session))({ pool, createTableIfMissing: true, errorLog () {} })
}
