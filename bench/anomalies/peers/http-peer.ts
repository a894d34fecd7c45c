import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { inRequest } from './gate.js'
import { perform, type Visit } from './visit.js'

/** Serves a peer that has no framework of its own. */
export async function serveOverHttp (port: number, visitOf: (request: IncomingMessage, response: ServerResponse) => Promise<Visit>): Promise<void> {
  const server = createServer((request, response) => {
    inRequest(async () => await perform(request.url ?? '', await visitOf(request, response))).then((seen) => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(seen))
    }).catch((error: unknown) => {
      response.statusCode = 500
      response.end(String(error))
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}
