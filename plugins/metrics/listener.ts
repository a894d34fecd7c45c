import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfigError } from '../common/rule.js'
import { boundConnections } from '../process/connections.js'

export interface MetricsListenerOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  /** The metrics in the text format of Prometheus. If it rejects, the answer is a 500. */
  text: () => Promise<string>
}

export interface MetricsListener {
  /** Where the metrics are. */
  readonly url: string
  close (): Promise<void>
}

/** The text format of Prometheus. */
export const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8'

/** A request for metrics is a line or two. */
const REQUEST_MS = 5_000
/** Less than what other connections leave of the file descriptors. */
const MOST_CONNECTIONS = 16

/**
 * Serves `/metrics` and nothing else, on a port of its own.
 *
 * @throws ConfigError if it cannot listen there.
 */
export async function openMetricsListener ({ host, port, text }: MetricsListenerOptions): Promise<MetricsListener> {
  const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS }, (request, response) => {
    const [path] = (request.url ?? '').split('?', 1)
    if (path !== '/metrics') answer(response, 404)
    else if (request.method !== 'GET' && request.method !== 'HEAD') answer(response.setHeader('allow', 'GET, HEAD'), 405)
    else text().then((body) => { answer(response.setHeader('content-type', TEXT_FORMAT), 200, body) }, () => { answer(response, 500) })
  })
  // Dropping header lines helps nobody: what bounds them is their bytes.
  server.maxHeadersCount = 0
  boundConnections(server, MOST_CONNECTIONS)
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new ConfigError(`METRICS_PORT: ${(error as Error).message}.`)
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
