import type { FastifyRequest } from 'fastify'

/** A request of any application, over HTTP/1 or HTTP/2. With more members, a hook would fit the routes of some applications only. */
export type AnyRequest = Pick<FastifyRequest, 'id'>
