import type { Lifetime } from '../../test/processes/scope.js'
import { retry } from '../retry.js'
import type { Case } from './cases/case.js'
import { cases, type CaseName } from './cases/index.js'
import { peers, type Peer, type PeerName } from './peers/index.js'
import { setStage, type Stage } from './stage.js'

/** What the tries of a case have shown. */
interface Outcome {
  /** How many tries were made, and in how many of them the anomaly was seen. */
  tries: number
  seen: number
  /** What was seen, by the name of the try. */
  what: Record<string, string>
}

/** One cell of the table. */
export interface Cell extends Outcome {
  peer: PeerName
  case: CaseName
  /** Why the case says nothing about this peer. */
  notApplicable?: string
}

/** Runs cases against one peer, in one process of it. */
export async function runPeer (t: Lifetime, name: PeerName, wanted: readonly CaseName[], note: (step: string) => void): Promise<Cell[]> {
  const peer: Peer = peers[name]
  const cells: Cell[] = []
  let stage: Stage | null = null
  for (const which of wanted) {
    const notApplicable = peer.lacks?.[which]
    if (notApplicable !== undefined) {
      cells.push({ peer: name, case: which, notApplicable, tries: 0, seen: 0, what: {} })
      continue
    }
    stage ??= await setStage(t, peer, note)
    cells.push({ peer: name, case: which, ...await runCase(stage, cases[which], note) })
  }
  return cells
}

/** A try that could not be made, as when a busy machine makes a peer refuse a login, says nothing about the peer. */
const ATTEMPTS = 5

async function runCase (stage: Stage, { tries, repeats, seen: word }: Case, note: (step: string) => void): Promise<Outcome> {
  const result: Outcome = { tries: 0, seen: 0, what: {} }
  for (const { name, run } of tries) {
    for (let i = 0; i < repeats; i++) {
      note(`\n${name} (${i + 1} of ${repeats})`)
      const wrong = await retry(() => run(stage), { attempts: ATTEMPTS, onFailure (error) { note(`=> once more: ${error.message}`) } })
      // A peer without this step has none the next time either.
      if (wrong === undefined) break
      result.tries += 1
      note(wrong === null ? '=> held' : `=> ${word}: ${wrong}`)
      if (wrong === null) continue
      result.seen += 1
      result.what[name] = wrong
    }
  }
  return result
}
