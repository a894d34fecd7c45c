import { examine } from '../storage/doctor.js'
import { expectEnd, type Io } from './io.js'
import { handlesIfKnown, logTo, storedConfiguration } from './storage.js'

/** Runs `hatcheck doctor`. */
export async function doctor (rest: string[], io: Io): Promise<number> {
  expectEnd(rest)
  const { config, engine } = await storedConfiguration(io, 'records')
  let findings = 0
  const tell = (finding: string): void => {
    findings++
    io.stdout.write(`${finding.replaceAll('\n', ' ')}\n`)
  }
  const { description, counts: { sessions, tombstones, accounts, counters } } = await examine(config, engine, handlesIfKnown(config, tell), logTo(io), tell)
  if (findings > 0) return 1
  io.stdout.write(`${description} is sound (accounts: ${accounts}, sessions: ${sessions}, tombstones: ${tombstones}, counters of failed logins: ${counters}).\n`)
  return 0
}
