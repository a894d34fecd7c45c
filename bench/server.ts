import { keepNextTickFast } from '../plugins/process/next-tick.js'
import { contenderOf } from './contenders/index.js'
import { endWithParent } from './processes.js'
import { cpuMicrosOf, descendantsOf } from './process-tree.js'
import { Profiler } from './profile/profiler.js'

// One contender: node server.js <contender> <data folder> <URL of Redis>. It lives as long as its parent.

/** The first message to the parent. */
export interface Started {
  port: number
  /** The processes of the contender. */
  pids: number[]
}

/** Each message of the parent, which has an answer. */
export type Question = 'usage' | 'start profile' | 'end profile'

/** What the contender has used so far. */
export interface Usage {
  /** CPU time of all threads of this process and of those below it, in µs. */
  cpuMicros: number
  /** What this process has in memory now, in bytes. */
  residentBytes: number
}

const [,, name = '', dataDir = '', redisUrl = ''] = process.argv

// Whether a process loses this depends on how much it loads, and on the moment: nothing to compare contenders by.
keepNextTickFast()

const started = contenderOf(name).start({ dataDir, redisUrl })
endWithParent(async () => { await (await started).close() })
const { port } = await started
const children = descendantsOf(process.pid)
const profiler = new Profiler()
const answers = {
  usage (): Usage {
    const { user, system } = process.cpuUsage()
    const cpuMicros = children.reduce((sum, pid) => sum + cpuMicrosOf(pid), user + system)
    return { cpuMicros, residentBytes: process.memoryUsage.rss() }
  },
  'start profile': async () => { await profiler.start() },
  'end profile': async () => await profiler.end()
} satisfies Record<Question, () => unknown>
process.on('message', async (question: Question) => {
  process.send?.(await answers[question]() ?? null)
})
// The parent may have gone meanwhile.
if (process.connected) process.send?.({ port, pids: [process.pid, ...children] } satisfies Started)
