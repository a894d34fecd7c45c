import { Durations, histogram } from './durations.js'
import { counter, type Family, type Sample } from './family.js'

/** The route of an address that there is not. */
const UNKNOWN = 'unknown'
/** Node reads some thirty more, and every one of them is answered. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

interface OfRoute {
  readonly durations: Durations
  readonly byMethod: Map<string, Map<number, number>>
}

/** The requests that are answered, by the pattern of their route: never by their address, which is anybody's. */
export class RequestCounts {
  readonly #routes = new Map<string, OfRoute>()
  #shed = 0

  count (method: string, route: string | undefined, status: number, ms: number): void {
    const { durations, byMethod } = this.#ofRoute(route ?? UNKNOWN)
    durations.observe(ms)
    const label = METHODS.has(method) ? method : 'other'
    let byStatus = byMethod.get(label)
    if (byStatus === undefined) byMethod.set(label, byStatus = new Map())
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1)
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
    if (ofRoute === undefined) this.#routes.set(route, ofRoute = { durations: new Durations(), byMethod: new Map() })
    return ofRoute
  }

  #samples (): Sample[] {
    return [...this.#routes].flatMap(([route, { byMethod }]) =>
      [...byMethod].flatMap(([method, byStatus]) =>
        [...byStatus].map(([status, value]) => ({ labels: { method, route, status }, value }))))
  }
}
