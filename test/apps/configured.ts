import type { Test } from 'tap'
import { readEnvironment } from '../../plugins/config/environment.js'
import { build } from '../helper.js'

/** The configuration that server.ts reads from an environment, on the memory store. */
export function buildFrom (t: Test, env: Record<string, string>): ReturnType<typeof build> {
  const { mode, options, trustProxy } = readEnvironment(env)
  return build(t, { ...options, mode }, { trustProxy })
}

export function messageOf (action: () => unknown): string {
  try {
    action()
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
