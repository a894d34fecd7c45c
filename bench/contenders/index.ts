import { execFileSync } from 'node:child_process'
import { hasPeer } from '../peers.js'
import { bareExpress, bareFastify, bareFastifyWithHeaders } from './bare.js'
import { betterAuths } from './better-auth.js'
import type { Contender } from './contender.js'
import { expressSessions } from './express-session.js'
import { fastifySessions } from './fastify-session.js'
import { flask } from './flask.js'
import { hatcheckContenders, services } from './hatcheck.js'
import { ironSession } from './iron-session.js'
import { secureSession } from './secure-session.js'

/** The variable with the folder of another compiled checkout of hatcheck: the processes of the contenders read it too. */
export const OTHER_VARIABLE = 'HATCHECK_BENCH_OTHER'

/** What the others are measured by. */
export const reference = bareFastify.name

/** Lists every contender that can be measured, in the order of the tables. */
export function allContenders (other = process.env[OTHER_VARIABLE]): Contender[] {
  return [
    bareFastify,
    bareFastifyWithHeaders,
    ...hatcheckContenders(),
    ...other === undefined ? [] : hatcheckContenders(other),
    ...fastifySessions,
    secureSession,
    ironSession,
    bareExpress,
    ...expressSessions,
    ...betterAuths,
    flask
  ]
}

/** Returns a contender, or one of the services that only other measurements use. */
export function contenderOf (name: string): Contender {
  const found = [...allContenders(), ...services].find((contender) => contender.name === name)
  if (found === undefined) throw new Error(`${name} is no contender`)
  return found
}

/** Says why a contender cannot start here; undefined if it can. */
export function obstacleTo ({ packages = [], programs = [], usesRedis = false, platform = process.platform }: Contender): string | undefined {
  if (platform !== process.platform) return `it is measured on ${platform} only`
  const missing = packages.find((name) => !hasPeer(name))
  if (missing !== undefined) return `the package ${missing} is not installed; run: npm --prefix bench ci`
  const absent = [...programs, ...usesRedis ? [['redis-server', '--version'] as const] : []].find((command) => !runs(command))
  if (absent !== undefined) return `"${absent.join(' ')}" fails: is it installed?`
  return undefined
}

function runs ([program, ...args]: readonly [string, ...string[]]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
