import { test } from 'tap'
import { RedisStore } from '../plugins/session/redis-store.js'
import { needs } from './helper.js'
import { startRedis } from './redis.js'
import { storeContract } from './store-contract.js'

test('the Redis store keeps the contract', needs('redis-server'), async (t) => {
  const { client } = await startRedis(t)
  storeContract(t, async (_t, options) => {
    await client.flushall()
    return new RedisStore(client, { ...options, onCorrupt () {}, deadlineMs: 5_000 })
  }, { sweeps: false })
})
