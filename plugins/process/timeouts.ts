import type { FastifyHttpOptions } from 'fastify'
import type { Server } from 'node:http'

/**
 * How long a plugin of the service may take to start, in ms. The 10 s of Fastify pass on a machine that starts many programs at
 * once; a start that is given up then begins again, and takes even longer.
 */
export const START_MS = 60_000

/**
 * Limits of a connection, in ms, against clients that send slowly (slowloris). By default, Fastify waits for a request for
 * ever. All requests and responses of the service are small.
 *
 * Sources: mod_reqtimeout of Apache gives headers 20 to 40 s; https://nodejs.org/api/http.html#serverheaderstimeout
 */
export const TIMEOUTS = {
  /** The whole request, with its body. */
  requestTimeout: 10_000,
  /** No byte moves, for example because the client does not read the response. Every response is faster. */
  connectionTimeout: 30_000,
  /** Between two requests. Proxies close an idle connection after 60 s (nginx, AWS), and must be the first to do so. */
  keepAliveTimeout: 72_000,
  http: {
    headersTimeout: 10_000,
    /** Node checks `requestTimeout` and `headersTimeout` every 2 s instead of every 30 s. */
    connectionsCheckingInterval: 2_000,
    requireHostHeader: false,
    /** Not even with `node --insecure-http-parser`: a proxy and hatcheck must see the same requests. */
    insecureHTTPParser: false
  }
} satisfies FastifyHttpOptions<Server>
