import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer } from '../common/node-http.js'
import { TEXT_FORMAT } from '../metrics/text-format.js'
import { listenError } from './address.js'
import { boundConnections } from './connections.js'

interface MetricsListenerOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  /** Returns the metrics in the text format of Prometheus. If it rejects, the answer is a 500. */
  text: () => Promise<string>
}

export interface MetricsListener {
  /** The URL of the metrics. */
  readonly url: string
  close (): Promise<void>
}

/** How long a request may take to arrive, in ms. It is a few lines. */
const REQUEST_MS = 5_000
/** Fewer than the file descriptors that other connections leave free. */
const MOST_CONNECTIONS = 16

/**
 * Serves `/metrics` and nothing else on its own port, to everyone who can reach it.
 *
 * @throws ConfigError if it cannot listen there.
 */
export async function openMetricsListener ({ host, port, text }: MetricsListenerOptions): Promise<MetricsListener> {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS, insecureHTTPParser: false }, (request, response) => {
    const [path] = (request.url ?? '').split('?', 1)
    if (path !== '/metrics') answer(response, 404)
    else if (request.method !== 'GET' && request.method !== 'HEAD') answer(response.setHeader('allow', 'GET, HEAD'), 405)
    else text().then((body) => { answer(response.setHeader('content-type', TEXT_FORMAT), 200, body) }, () => { answer(response, 500) })
  })
  // No limit on header lines: the limit on bytes is enough.
  server.maxHeadersCount = 0
  boundConnections(server, MOST_CONNECTIONS)
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw listenError('METRICS_PORT', error)
  }
  const { address, family, port: own } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${own}/metrics`,
    async close () {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}

function answer (response: ServerResponse, status: number, body = ''): void {
  response.writeHead(status, { 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body) }).end(body)
}
