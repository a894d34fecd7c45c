import type { FastifyTypeProvider, FastifyTypeProviderDefault, Session as Data } from 'fastify'
import type { StandardSchema } from '../../common/standard-schema.js'
import type { SessionObject, TypedSession } from './session-object.js'

/**
 * A type provider of Fastify that gives `request.session` and `app.sessions` the types of a schema. `Other` is a type provider for
 * the schemas of routes, such as `ZodTypeProvider`.
 *
 * @example
 * const shop = app.withTypeProvider<SessionTypes<typeof sessionSchema>>()
 */
export type SessionTypes<S extends StandardSchema, Other extends FastifyTypeProvider = FastifyTypeProviderDefault> = Other & {
  readonly session: SchemaValues<S>
}

/** The values that a schema allows, as a handler sets them. A new session has none, so each can be missing. */
export type SchemaValues<S extends StandardSchema> = Optional<NonNullable<S['~standard']['types']>['input']>

type Optional<T> = { [K in keyof T]?: T[K] | undefined }

/** The values of the sessions in a scope with this type provider. */
export type ValuesOf<TypeProvider> = TypeProvider extends { readonly session: infer V } ? Data & V : Data

/** `request.session` in a scope with this type provider. */
export type SessionOf<TypeProvider> = TypeProvider extends { readonly session: infer V } ? TypedSession<Data & V> : SessionObject
