import type { Express, Response } from 'express'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { homePage } from '../page.js'
import { importPeer } from '../peers.js'
import type { Running } from './contender.js'

/** Makes an Express application with the page. */
export async function expressApplication (): Promise<{ app: Express, listen: () => Promise<Running>, sendPage: (response: Response, name: string | undefined) => void }> {
  const { default: express } = await importPeer('express') as { default: typeof import('express') }
  const app = express()
  app.use(express.json())
  return {
    app,
    async listen () {
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return {
        port: (server.address() as AddressInfo).port,
        close: async () => {
          server.close()
          server.closeAllConnections()
          await once(server, 'close')
        }
      }
    },
    sendPage (response, name) { response.type('html').send(homePage(name)) }
  }
}
