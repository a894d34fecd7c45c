import type { Cluster, Redis } from 'ioredis'

/** A client that has scripts as further commands. */
export type Scripted<Scripts> = (Redis | Cluster) & Scripts

/**
 * Adds scripts to a client as commands. Each has one key. The client sends the text of a script once, its hash from then on.
 *
 * @param scripts the texts in Lua, by the names of the commands
 */
export function withScripts<Scripts> (client: Redis | Cluster, scripts: Readonly<Record<keyof Scripts & string, string>>): Scripted<Scripts> {
  for (const [name, lua] of Object.entries<string>(scripts)) client.defineCommand(name, { numberOfKeys: 1, lua })
  return client as Scripted<Scripts>
}
