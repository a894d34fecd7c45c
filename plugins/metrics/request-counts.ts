import type { FastifyRequest } from 'fastify'
import { patternOf } from '../guards/methods.js'
import { Durations, histogram } from './durations.js'
import { counter, type Family, type Sample } from './family.js'

/** The label of requests that match no route. */
const UNKNOWN = 'unknown'
/** Node accepts about thirty more methods; they share the label `other`. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

/** The responses of one route with the same method and status. */
interface Series {
  readonly method: string
  readonly status: number
  count: number
}

interface OfRoute {
  readonly durations: Durations
  /** A route has few series, and nearly all of its responses belong to the first. */
  readonly series: Series[]
}

/** Counts requests by the pattern of their route, never by their path: clients choose the path, and must not create new series. */
export class RequestCounts {
  readonly #routes = new Map<string, OfRoute>()
  #shed = 0

  count (request: Pick<FastifyRequest, 'method' | 'url' | 'routeOptions'>, status: number, ms: number): void {
    // Most paths have no parameter and equal the pattern of their route. `routeOptions` makes an object at each access.
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

  /** Counts a request that was refused because the event loop is late. `count` counts it as well. */
  countShed (): void {
    this.#shed++
  }

  families (): Family[] {
    return [
      counter('hatcheck_http_requests_total', 'HTTP requests answered, by method, route and status. Requests that match no route have the route unknown.', () => this.#samples()),
      histogram('hatcheck_http_request_duration_seconds', 'Time in seconds from the head of a request to the start of its response, by route.', 'route',
        () => [...this.#routes].map(([route, { durations }]) => [route, durations])),
      counter('hatcheck_http_requests_shed_total', 'Requests refused with 503 because the event loop was late.', () => [{ labels: {}, value: this.#shed }])
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
