import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import nodeModule from 'node:module'
import { unlessInstalled } from '../common/not-installed.js'
import type { Config } from '../config/resolve.js'
import { problem, user } from './answers.js'
import { finish, type Document } from './finish.js'

export type OpenApi = Awaited<ReturnType<typeof createOpenApi>>

const DESCRIPTION = `Logins and sessions for any web application.

- Browsers (\`Accept: text/html\`) get pages. Other clients get JSON.
- Errors are problem documents (RFC 9457). An unknown path is a 404 with \`HATCHECK_NOT_FOUND\`. A method that a path does not
  support is a 405 with \`HATCHECK_METHOD_NOT_ALLOWED\`. That response, and the 204 to \`OPTIONS\`, list the supported methods
  in \`Allow\`.
- No CSRF token is needed. The server refuses cross-site requests of browsers by \`Sec-Fetch-Site\` and \`Origin\`.`

const TAGS = [
  { name: 'Login', description: 'Log in, log out, change the password, and ask who the user is.' },
  { name: 'Sessions', description: 'List and end the sessions of the user.' },
  { name: 'Values', description: 'Read and write session values, from any language.' },
  { name: 'Forward auth', description: 'For a reverse proxy that asks hatcheck about each request.' },
  { name: 'Operations', description: 'For monitoring and orchestration.' }
]

/**
 * Makes the OpenAPI document of the service from the schemas of the routes. In an application with `@fastify/swagger`, the same
 * schemas appear in the application's own document.
 */
export default fp(async function openapi (fastify) {
  fastify.hatcheck.provide('openapi', await createOpenApi(fastify))
}, { name: 'openapi', dependencies: ['config'] })

async function createOpenApi (fastify: FastifyInstance) {
  const { config } = fastify.hatcheck

  /** Makes the schemas of a scope describe its routes without validating or serializing anything. */
  function describeRoutes (scope: FastifyInstance): void {
    for (const schema of [problem, user]) if (scope.getSchema(schema.$id) === undefined) scope.addSchema(schema)
    // Handlers validate their input with error texts of their own, and responses are sent as they are.
    scope.setValidatorCompiler(() => () => true)
    scope.setSerializerCompiler(() => JSON.stringify)
  }

  if (config.mode === 'plugin') return { describeRoutes, document: undefined }
  const { fastifySwagger } = await import('@fastify/swagger').catch(unlessInstalled('@fastify/swagger'))
  await fastify.register(fastifySwagger, swaggerOptions(config))
  let text: string | undefined

  /** Returns the OpenAPI document of the service as JSON. Undefined in a host, which describes itself. */
  function document (): string {
    text ??= JSON.stringify(fastify.swagger())
    return text
  }

  return { describeRoutes, document }
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
    // Routes without a tag, such as the metrics, are not public.
    hideUntagged: true,
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => typeof schema['$id'] === 'string' ? schema['$id'] : `def-${i}` },
    transformObject: (made) => finish((made as { openapiObject: unknown }).openapiObject as Document)
  }
}
