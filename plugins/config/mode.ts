/** How hatcheck runs: in an application, as a service, or as a service in demo mode. */
export type Mode = 'plugin' | 'service' | 'demo'
