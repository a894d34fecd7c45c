/** The pages that an application can choose from, by the names of their folders in `routes/`. The other routes are for the service. */
export const ROUTE_NAMES = ['home', 'login', 'logout', 'sessions', 'password', 'verify'] as const

/** The name of a page of hatcheck, for the option `routes`. */
export type RouteName = typeof ROUTE_NAMES[number]
