import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { assertAlike, check, type Pages } from '../../bench/check.js'
import type { Contender } from '../../bench/contenders/contender.js'
import { allContenders, obstacleTo } from '../../bench/contenders/index.js'
import { startRedis } from '../programs/redis.js'

// What the bench measures, without measuring: a contender that answers wrongly would be a fast one.

const contenders = allContenders()
const possible = contenders.filter((contender) => obstacleTo(contender) === undefined)

t.test('every contender of the bench answers each request correctly, and stores a change', async (t) => {
  const needsRedis = possible.some(({ usesRedis }) => usesRedis)
  const redis = needsRedis ? await startRedis(t) : null
  const folder = t.testdir()
  const pages = new Map<Contender, Pages>()
  for (const [index, contender] of possible.entries()) {
    const dataDir = join(folder, String(index))
    mkdirSync(dataDir)
    const { port, close } = await contender.start({ dataDir, redisUrl: redis?.url ?? '' })
    try {
      pages.set(contender, await check(contender, `http://127.0.0.1:${port}/`))
    } finally {
      await close()
    }
  }
  t.doesNotThrow(() => { assertAlike(pages) }, 'all send the same page')
  t.same([...pages.keys()], possible)
})

t.test('a contender that does not store a change is found', async (t) => {
  const forgetful = contenders.find(({ name }) => name === 'bare Fastify')
  if (forgetful === undefined) throw new Error('there is no bare Fastify')
  const { port, close } = await forgetful.start({ dataDir: t.testdir(), redisUrl: '' })
  t.teardown(close)
  await t.rejects(check({ ...forgetful, requests: {} }, `http://127.0.0.1:${port}/`), /the change to 123456 is not stored/)
})
