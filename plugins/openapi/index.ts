import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createRequire } from 'node:module'
import type { Config } from '../config/resolve.js'
import { problem, user } from './answers.js'
import { finish, type Document } from './finish.js'

export type OpenApi = Awaited<ReturnType<typeof createOpenApi>>

const DESCRIPTION = `Logins and sessions for any web application.

- What a browser gets as a page (\`Accept: text/html\`), programs get as JSON.
- Errors are problem documents (RFC 9457). An address that there is not is a 404 with \`HATCHECK_NOT_FOUND\`. A method that an
  address does not take is a 405 with \`HATCHECK_METHOD_NOT_ALLOWED\`; it and the 204 to \`OPTIONS\` name the others in \`Allow\`.
- The server decides by Fetch Metadata and Origin whether a browser may make a change. What is no browser needs no token.`

const TAGS = [
  { name: 'Login', description: 'Who is logged in, and the password.' },
  { name: 'Sessions', description: 'Where the user is logged in.' },
  { name: 'Values', description: 'The data of the session, for programs in any language.' },
  { name: 'Forward auth', description: 'For a proxy that asks before it passes a request on.' },
  { name: 'Operations', description: 'For what watches over the service.' }
]

/**
 * The schemas of the routes as an OpenAPI document of the service. An application that has @fastify/swagger finds them in
 * its own document.
 */
export default fp(async function openapi (fastify) {
  fastify.hatcheck.provide('openapi', await createOpenApi(fastify))
}, { name: 'openapi', dependencies: ['config'] })

async function createOpenApi (fastify: FastifyInstance) {
  const { config } = fastify.hatcheck

  /** Makes the schemas of a scope say what its routes do, and change nothing about it. */
  function describeRoutes (scope: FastifyInstance): void {
    for (const schema of [problem, user]) if (scope.getSchema(schema.$id) === undefined) scope.addSchema(schema)
    // Handlers check what they are given in words of their own, and an answer is sent as it is.
    scope.setValidatorCompiler(() => () => true)
    scope.setSerializerCompiler(() => JSON.stringify)
  }

  if (config.mode === 'plugin') return { describeRoutes, document: undefined }
  const { fastifySwagger } = await import('@fastify/swagger')
  await fastify.register(fastifySwagger, swaggerOptions(config))
  let text: string | undefined

  /** The OpenAPI document of the service, as JSON. Undefined in a host, which describes itself. */
  function document (): string {
    text ??= JSON.stringify(fastify.swagger())
    return text
  }

  return { describeRoutes, document }
}

function swaggerOptions ({ sessionCookieName = '__Host-hatcheck' }: Config): FastifyDynamicSwaggerOptions {
  const { version, license } = createRequire(import.meta.url)('hatcheck/package.json') as { version: string, license: string }
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'hatcheck', version, description: DESCRIPTION, license: { name: license, identifier: license } },
      tags: TAGS,
      // Who has no session is anonymous.
      security: [{}, { session: [] }],
      components: {
        securitySchemes: {
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: sessionCookieName,
            description: 'Set by `POST /login`. Unless it is configured, the name is `hatcheck` over plain http, as on loopback, and begins with `__Secure-` if the cookie has a domain or a path.'
          }
        }
      }
    },
    // What has no tag, such as the metrics, is not for the public.
    hideUntagged: true,
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => typeof schema['$id'] === 'string' ? schema['$id'] : `def-${i}` },
    transformObject: (made) => finish((made as { openapiObject: unknown }).openapiObject as Document)
  }
}
