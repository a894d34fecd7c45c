import type { FastifyRequest } from 'fastify'
import { patternOf } from '../guards/methods.js'
import { Durations, histogram } from './durations.js'
import { counter, type Family, type Sample } from './family.js'

/** The route of an address that there is not. */
const UNKNOWN = 'unknown'
/** Node reads some thirty more, and every one of them is answered. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

/** Answers of one kind. */
interface Series {
  readonly method: string
  readonly status: number
  count: number
}

interface OfRoute {
  readonly durations: Durations
  /** A route has few, and nearly all of its answers are of the first. */
  readonly series: Series[]
}

/** The requests that are answered, by the pattern of their route: never by their address, which is anybody's. */
export class RequestCounts {
  readonly #routes = new Map<string, OfRoute>()
  #shed = 0

  count (request: Pick<FastifyRequest, 'method' | 'url' | 'routeOptions'>, status: number, ms: number): void {
    // Most addresses have no parameter and are the pattern of their route. To ask for the route makes an object each time.
    const { durations, series } = this.#routes.get(request.url) ?? this.#ofRoute(patternOf(request) ?? UNKNOWN)
    durations.observe(ms)
    const method = METHODS.has(request.method) ? request.method : 'other'
    for (const same of series) {
      if (same.method !== method || same.status !== status) continue
      same.count++
      return
    }
    series.push({ method, status, count: 1 })
  }

  /** One that was refused since the event loop is late. It is counted with the others as well. */
  countShed (): void {
    this.#shed++
  }

  families (): Family[] {
    return [
      counter('hatcheck_http_requests_total', 'Requests that have been answered.', () => this.#samples()),
      histogram('hatcheck_http_request_duration_seconds', 'Time from the head of a request until its answer leaves.', 'route',
        () => [...this.#routes].map(([route, { durations }]) => [route, durations])),
      counter('hatcheck_http_requests_shed_total', 'Requests refused with 503 since the event loop was late.', () => [{ labels: {}, value: this.#shed }])
    ]
  }

  #ofRoute (route: string): OfRoute {
    let ofRoute = this.#routes.get(route)
    if (ofRoute === undefined) this.#routes.set(route, ofRoute = { durations: new Durations(), series: [] })
    return ofRoute
  }

  #samples (): Sample[] {
    return [...this.#routes].flatMap(([route, { series }]) =>
      series.map(({ method, status, count }) => ({ labels: { method, route, status }, value: count })))
  }
}
