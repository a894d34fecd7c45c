import fp from 'fastify-plugin'
import type { Accounts } from './accounts/index.js'
import type { Audit } from './audit/index.js'
import type { Config } from './config/resolve.js'
import type { Cookies } from './cookies/index.js'
import type { Decorations } from './decorations.js'
import type { Guards } from './guards/index.js'
import type { Http } from './http/index.js'
import type { Login } from './login/index.js'
import type { Metrics } from './metrics/index.js'
import type { OpenApi } from './openapi/index.js'
import type { SessionGroup } from './session/index.js'
import type { StorageGroup } from './storage/index.js'
import type { Throttle } from './throttle/index.js'
import type { View } from './view/index.js'
import type { Workers } from './workers/index.js'

/** The groups, each named as the folder of the plugin that makes it. */
interface Groups {
  config: Config
  decorations: Decorations
  workers: Workers
  /** Null in the plugin: the application counts its requests itself. */
  metrics: Metrics | null
  storage: StorageGroup
  cookies: Cookies
  session: SessionGroup
  /** Null if the application passes `authenticate` or a session store without accounts. */
  accounts: Accounts | null
  audit: Audit
  throttle: Throttle
  login: Login
  guards: Guards
  view: View
  http: Http
  openapi: OpenApi
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Connects hatcheck's own plugins and routes. Nothing in it is for applications. */
    hatcheck: Hatcheck
  }
}

/**
 * Holds what hatcheck's plugins make for each other and for the routes. A plugin provides its group once; a plugin that
 * needs the group names that plugin in its `dependencies`.
 */
export class Hatcheck {
  readonly #groups: Partial<Groups> = {}

  /** @throws Error if the group is there already. */
  provide<Name extends keyof Groups> (name: Name, group: Groups[Name]): void {
    if (this.#groups[name] !== undefined) throw new Error(`The group ${name} of hatcheck is provided twice.`)
    this.#groups[name] = group
  }

  get config (): Config { return this.#get('config') }
  get decorations (): Decorations { return this.#get('decorations') }
  get workers (): Workers { return this.#get('workers') }
  get metrics (): Metrics | null { return this.#get('metrics') }
  get storage (): StorageGroup { return this.#get('storage') }
  get cookies (): Cookies { return this.#get('cookies') }
  get session (): SessionGroup { return this.#get('session') }
  get accounts (): Accounts | null { return this.#get('accounts') }
  get audit (): Audit { return this.#get('audit') }
  get throttle (): Throttle { return this.#get('throttle') }
  get login (): Login { return this.#get('login') }
  get guards (): Guards { return this.#get('guards') }
  get view (): View { return this.#get('view') }
  get http (): Http { return this.#get('http') }
  get openapi (): OpenApi { return this.#get('openapi') }

  #get<Name extends keyof Groups> (name: Name): Groups[Name] {
    const group: Groups[Name] | undefined = this.#groups[name]
    if (group === undefined) throw new Error(`The group ${name} of hatcheck does not exist yet: add its plugin to the dependencies of this one.`)
    return group
  }
}

export default fp(async function groups (fastify) {
  fastify.decorate('hatcheck', new Hatcheck())
}, { name: 'groups' })
