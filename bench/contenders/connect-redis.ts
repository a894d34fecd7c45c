import { importPeer } from '../peers.js'

interface Client {
  connect (): Promise<unknown>
  destroy (): void
}

/** Opens the store of connect-redis over the client that its README names. */
export async function connectedStore (url: string): Promise<{ store: unknown, disconnect: () => Promise<void> }> {
  const { createClient } = await importPeer('redis') as { createClient: (options: { url: string }) => Client }
  const { RedisStore } = await importPeer('connect-redis') as { RedisStore: new (options: { client: Client }) => unknown }
  const client = createClient({ url })
  await client.connect()
  return {
    store: new RedisStore({ client }),
    disconnect: async () => { client.destroy() }
  }
}
