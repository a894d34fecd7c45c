import { assertRule, shown } from '../common/rule.js'
import type { Mode } from './mode.js'
import type { NameOf } from './option-name.js'
import { ROUTE_NAMES, type RouteName } from './route-names.js'
import type { ValuesOf } from './row.js'
import { OPTIONS } from './table.js'

type PageValues = Pick<ValuesOf<typeof OPTIONS>, 'prefix' | 'loginPath' | 'afterLogin' | 'afterLogout'>
type Pages = ReturnType<typeof pagesOf>

/** An origin that no real address has, to write a path as browsers do. */
const ROOT = 'http://here.invalid'

/** Characters that make a path a pattern of the router, lead to another server, or cannot be in the path of a cookie. */
const NOT_FIXED = /[:*;?#]|\/\//

/** Decides which pages are served, and where they are and lead. */
export function pagesOf (given: unknown, mode: Mode, { prefix, loginPath, afterLogin, afterLogout }: PageValues, scope: string) {
  const routes = routesOf(given, mode, prefix, loginPath)
  // Fastify takes a path as it is read. Links, Location and cookies have it as browsers send it.
  const path = encodeURI(scope.replace(/\/$/, ''))
  const root = NOT_FIXED.test(path) ? '' : path
  const base = path + encodeURI(prefix)
  const home = `${routes.has('home') ? base : root}/`
  return {
    /** Tells whether a page is served. */
    hasRoute: (route: RouteName): boolean => routes.has(route),
    hasRoutes: routes.size > 0,
    /** The path of the pages, from the root of the server, as a URL spells it. */
    base,
    /** The target of links back: hatcheck's start page, or that of the application. */
    home,
    afterLogin: afterLogin ?? home,
    afterLogout: afterLogout ?? home,
    /** The login page, of the application or of hatcheck; null: none. */
    loginPage: loginPath ?? (routes.has('login') ? `${base}/login` : null)
  }
}

/** Lists the pages to serve: all in the service; in an application, those that `routes` names. */
function routesOf (routes: unknown, mode: Mode, prefix: string, loginPath: string | undefined): ReadonlySet<RouteName> {
  if (mode !== 'plugin') return new Set(ROUTE_NAMES)
  if (routes === undefined || routes === false) return new Set()
  // Without a prefix, the start page would be at `/`, which belongs to the application.
  const leftOut: Partial<Record<RouteName, boolean>> = { home: prefix === '', login: loginPath !== undefined }
  if (routes === true) return new Set(ROUTE_NAMES.filter((route) => leftOut[route] !== true))
  const rule = `routes must be ${OPTIONS.routes.form}`
  assertRule(Array.isArray(routes), `${rule}; got ${shown(routes)}.`)
  for (const route of routes) assertRule(ROUTE_NAMES.includes(route), `${rule}; there is no ${shown(route)}.`)
  assertRule(loginPath === undefined || !routes.includes('login'), 'loginPath must not be set with the page login in routes: the application then serves the login page.')
  return new Set(routes as RouteName[])
}

/** Refuses a login and a logout that lead nowhere. @throws ConfigError */
export function assertLeadsOn ({ hasRoute, base, afterLogin, afterLogout, nameOf }: Pages & { readonly nameOf: NameOf }): void {
  const leadsTo = (place: string, route: RouteName): boolean => hasRoute(route) && pathOf(place) === pathOf(`${base}/${route}`)
  assertRule(!leadsTo(afterLogin, 'login'),
    `${nameOf('afterLogin')} must not be the login page: it would redirect to itself forever.`)
  assertRule(!leadsTo(afterLogin, 'logout'),
    `${nameOf('afterLogin')} must not be ${base}/logout: it would log out every user who logs in.`)
  assertRule(!leadsTo(afterLogout, 'logout'),
    `${nameOf('afterLogout')} must not be ${base}/logout: it would redirect to itself forever.`)
}

/** Returns the path of a place on this server as the router reads it, after the browser has resolved it; null for an address. */
function pathOf (place: string): string | null {
  if (!place.startsWith('/')) return null
  const { pathname } = new URL(place, ROOT)
  try {
    return decodeURI(pathname)
  } catch {
    // No route has it.
    return null
  }
}

/**
 * Tells whether browsers do not send the session cookie to the pages of hatcheck, where a logout then ends nothing. A proxy may change the
 * paths, so this is not an error. Source: RFC 6265, section 5.1.4.
 */
export function missesPages (path: string, { base, hasRoute }: Pick<Pages, 'base' | 'hasRoute'>): boolean {
  return hasLinks(hasRoute) && !new URL(`${base}/`, ROOT).pathname.startsWith(path.endsWith('/') ? path : `${path}/`)
}

/** Tells whether the links of the pages lead nowhere, since the path of the pages is a pattern. Programs can use the routes. */
export function misleads ({ base, hasRoute }: Pick<Pages, 'base' | 'hasRoute'>): boolean {
  return hasLinks(hasRoute) && NOT_FIXED.test(base)
}

/** Tells whether pages are served that link to each other. A proxy asks /verify, for pages of another path. */
function hasLinks (hasRoute: (route: RouteName) => boolean): boolean {
  return ROUTE_NAMES.some((route) => route !== 'verify' && hasRoute(route))
}
