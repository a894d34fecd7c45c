import type { Stage } from '../stage.js'

/** One way to provoke an anomaly. */
export interface Try {
  name: string
  /** @returns what went wrong, null if nothing did, undefined if the peer has no such step */
  run (stage: Stage): Promise<string | null | undefined>
}

/** An anomaly. */
export interface Case {
  /** The heading in the table. */
  title: string
  /** How the table says that it was seen. */
  seen: string
  /** How often each try is made. */
  repeats: number
  tries: readonly Try[]
}
