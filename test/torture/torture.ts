import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { testKey } from '../helper.js'
import { Random } from '../inputs/random.js'
import { audit, openForAudit, readersOf } from './audit.js'
import { startHost, type Host } from './host.js'
import { Visitor, type Count, type Visit } from './visitor.js'

export interface TortureOptions {
  rounds: number
  /** On a slow machine there are fewer rounds: none begins after this many seconds. */
  secondsAtMost?: number
  seed: number
  /** Kept over all rounds. */
  folder: string
  onRound?: (round: number) => void
}

export interface TortureReport {
  rounds: number
  /** Kills before the service had opened the store. */
  killedAtStart: number
  acknowledged: Count
  /** Checks of a session after a kill, over HTTP and in the file. */
  checks: number
  records: number
  fileBytes: number
  mostReaders: number
  seconds: number
  /** Broken promises; the first one ends the torture. */
  faults: string[]
}

const VISITORS = 6
/** Visitors of an application that keeps the sessions in cookies, and stores their ends. */
const COOKIE_VISITORS = 2
/** The process is killed after at most this many acknowledged operations, at a random moment. */
const MOST_OPERATIONS = 60
const MOMENT_MS = 5
/** The maximum length of a round, in ms. */
const LONGEST_ROUND_MS = 1_000
/** The approximate time from opening the store to listening, in ms. */
const OPENING_MS = 40
/** The number of sessions of earlier rounds that are checked after each kill. After the last kill, all are. */
const FORMER_CHECKED = 20
/** The slots for all processes, and one to spare. LMDB has 126. */
const MOST_READERS = 6

/**
 * Kills the service at random moments of its work, over one folder, and checks after each kill that everything
 * acknowledged holds.
 *
 * For three quarters of the rounds another process (this one) has the folder open, so that no last
 * close removes what a killed process left behind; in the other rounds no other process has it open.
 */
export async function torture ({ rounds, secondsAtMost = Infinity, seed, folder, onRound }: TortureOptions): Promise<TortureReport> {
  const begun = performance.now()
  const random = new Random(seed)
  const visitors = Array.from({ length: VISITORS }, (_, index) => new Visitor(`visitor-${index}`, new Random(random.integer(2 ** 32))))
  const cookieVisitors = Array.from({ length: COOKIE_VISITORS }, (_, index) => new Visitor(`cookie-visitor-${index}`, new Random(random.integer(2 ** 32)), false))
  const everybody = [...visitors, ...cookieVisitors]
  const isOfCookies = new Set(cookieVisitors)
  const lmdb = join(folder, 'lmdb')
  const options = [lmdb, join(folder, 'ends')].map((place, i) => ({ sessionStore: `${i === 0 ? '' : 'cookie:'}lmdb:${place}`, secretKey: testKey }))
  const report: TortureReport = {
    rounds: 0, killedAtStart: 0, acknowledged: { login: 0, set: 0, renewal: 0, read: 0, logout: 0 }, checks: 0, records: 0, fileBytes: 0, mostReaders: 0, seconds: 0, faults: []
  }
  const { faults } = report
  let host = startHost()
  let spare = startHost()
  let outside: RootDatabase | null = null
  try {
    for (let round = 0; faults.length === 0; round++) {
      const isLast = round === rounds || performance.now() - begun > secondsAtMost * 1_000
      if (round > 0 && random.next() < 0.1) {
        await killAtStart(host)
        report.killedAtStart++
        host = spare
        spare = startHost()
      }
      const urls = await host.open(options)
      if (urls === null) {
        faults.push(`the service did not start: ${host.errors()}`)
        break
      }
      const agent = new Agent({ keepAlive: true })
      const places = everybody.map((visitor) => ({ visitor, url: (isOfCookies.has(visitor) ? urls[1] : urls[0]) ?? '' }))
      await inspect(places, agent, isLast)
      if (outside !== null) {
        report.mostReaders = Math.max(report.mostReaders, readersOf(outside))
        if (report.mostReaders > MOST_READERS) faults.push(`${report.mostReaders} reader slots are taken:\n${outside.readerList()}`)
      }
      if (isLast || faults.length > 0) break
      const roaming = places.map(({ visitor, url }) => visitor.roam(url, agent))
      await operations(random.integer(MOST_OPERATIONS))
      await pause(random.next() * MOMENT_MS)
      await host.kill()
      await Promise.all(roaming)
      agent.destroy()
      for (const visitor of everybody) faults.push(...visitor.faults)
      outside ??= openForAudit(lmdb)
      inspectFile(outside)
      if (round >= rounds * 3 / 4) {
        await outside.close()
        outside = null
      }
      host = spare
      spare = startHost()
      report.rounds++
      onRound?.(report.rounds)
    }
  } finally {
    await Promise.all([host.kill(), spare.kill()])
    await outside?.close()
  }
  for (const { acknowledged } of everybody) for (const name of Object.keys(acknowledged) as Array<keyof Count>) report.acknowledged[name] += acknowledged[name]
  report.seconds = (performance.now() - begun) / 1_000
  return report

  /** Waits until this many more operations are acknowledged. */
  async function operations (count: number): Promise<void> {
    const until = total() + count
    const latest = performance.now() + LONGEST_ROUND_MS
    while (total() < until && performance.now() < latest) await pause(1)
  }

  function total (): number {
    let sum = 0
    for (const { acknowledged } of everybody) for (const count of Object.values(acknowledged)) sum += count
    return sum
  }

  async function killAtStart (host: Host): Promise<void> {
    const opening = host.open(options)
    await pause(random.next() * OPENING_MS)
    await host.kill()
    await opening
  }

  async function inspect (places: ReadonlyArray<{ visitor: Visitor, url: string }>, agent: Agent, all: boolean): Promise<void> {
    await Promise.all(places.map(async ({ visitor, url }) => {
      const former = all ? visitor.visits : Array.from({ length: Math.ceil(FORMER_CHECKED / VISITORS) }, () => random.of(visitor.visits))
      const toSee = new Set<Visit>([...visitor.recent, ...former.filter((visit) => visit !== undefined)])
      visitor.recent.clear()
      try {
        for (const visit of toSee) {
          await visitor.look(visit, url, agent)
          report.checks++
        }
      } catch (error) {
        faults.push((error as Error).message)
      }
    }))
  }

  function inspectFile (outside: RootDatabase): void {
    const found = audit(outside, lmdb)
    faults.push(...found.faults)
    for (const { visits } of visitors) {
      for (const { key, user, state } of visits) {
        const record = found.records.get(key)
        if (state === 'live' && record?.user !== user) faults.push(`the file has lost ${key}`)
        if (state === 'ended' && record !== undefined) faults.push(`the file has ${key} after its logout`)
        report.checks++
      }
    }
    report.records = found.records.size
    report.fileBytes = found.fileBytes
    if (found.fileBytes > 2 ** 21 + 4 * found.liveBytes) faults.push(`the file has ${found.fileBytes} bytes for ${found.liveBytes}`)
  }
}
