import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import Fastify, { type FastifyInstance, type RouteOptions } from 'fastify'
import nodeModule from 'node:module'
import { lazyPackage } from '../common/lazy-package.js'
import type { Config } from '../config/resolve.js'
import { noCompilers } from './no-compilers.js'
import { finish, type Document } from './finish.js'

const swagger = lazyPackage<typeof import('@fastify/swagger')>('@fastify/swagger')

const DESCRIPTION = `Logins and sessions for any web application.

- A client that sends \`Accept: application/json\` gets JSON. Without it, a route that has a page answers with the page or a redirect.
- Errors are problem documents (RFC 9457), or pages for a client that prefers \`text/html\`. An unknown path is a 404 with \`HATCHECK_NOT_FOUND\`. A method that a path does not
  support is a 405 with \`HATCHECK_METHOD_NOT_ALLOWED\`. That response, and the 204 to \`OPTIONS\`, list the supported methods
  in \`Allow\`.
- A request that has not arrived whole after 10 seconds is a 408 with \`HATCHECK_REQUEST_TIMEOUT\`, an \`Expect\` other than
  \`100-continue\` a 417 with \`HATCHECK_EXPECTATION\`. Both end the connection.
- No CSRF token is needed. The server refuses cross-site requests of browsers by \`Sec-Fetch-Site\` and \`Origin\`.`

const TAGS = [
  { name: 'Login', description: 'Log in, log out, change the password, and ask who the user is.' },
  { name: 'Sessions', description: 'List and end the sessions of the user.' },
  { name: 'Values', description: 'Read and write session values, from any language.' },
  { name: 'Forward auth', description: 'For a reverse proxy that asks hatcheck about each request.' },
  { name: 'Operations', description: 'For monitoring and orchestration.' }
]

type Described = Pick<RouteOptions, 'method' | 'url' | 'schema'>

/**
 * Makes the OpenAPI document of the service when it is first asked for: `@fastify/swagger` and its YAML library take longer
 * to load than all of hatcheck's plugins take to register.
 *
 * @param useSchemas gives a Fastify the schemas that those of the routes refer to.
 */
export function createDocument (config: Config, useSchemas: (scope: FastifyInstance) => void) {
  const routes: Described[] = []
  let text: string | undefined

  /** Notes a route: an onRoute hook. */
  function noteRoute ({ method, url, schema }: Described): void {
    if (schema !== undefined && schema.hide !== true) routes.push({ method, url, schema })
  }

  /** Returns the OpenAPI document of the service as JSON. */
  async function document (): Promise<string> {
    text ??= await make()
    return text
  }

  async function make (): Promise<string> {
    const fastify: FastifyInstance = Fastify({ schemaController: noCompilers, exposeHeadRoutes: false })
    await fastify.register(swagger().fastifySwagger, swaggerOptions(config))
    useSchemas(fastify)
    for (const route of routes) fastify.route({ ...route, handler () {} })
    await fastify.ready()
    return JSON.stringify(fastify.swagger())
  }

  return { noteRoute, document }
}

function swaggerOptions ({ sessionCookieName = '__Host-hatcheck' }: Config): FastifyDynamicSwaggerOptions {
  const { version, license } = nodeModule.createRequire(import.meta.url)('hatcheck/package.json') as { version: string, license: string }
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'hatcheck', version, description: DESCRIPTION, license: { name: license, identifier: license } },
      tags: TAGS,
      // Without a session, a visitor is anonymous.
      security: [{}, { session: [] }],
      components: {
        securitySchemes: {
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: sessionCookieName,
            description: 'Set by `POST /login`. The default name is `__Host-hatcheck` over https, `hatcheck` over plain http, and `__Secure-hatcheck` if the cookie has a domain or a path.'
          }
        }
      }
    },
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => typeof schema['$id'] === 'string' ? schema['$id'] : `def-${i}` },
    transformObject: (made) => finish((made as { openapiObject: unknown }).openapiObject as Document)
  }
}
