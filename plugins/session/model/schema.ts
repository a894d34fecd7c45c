import type { FastifyBaseLogger } from 'fastify'
import { ConfigError } from '../../common/rule.js'
import type { SchemaIssue, StandardSchema } from '../../common/standard-schema.js'
import type { SessionFields } from '../../store/sessions.js'
import type { Change } from './change-set.js'
import { AsyncSchemaError, SessionSchemaError } from './errors.js'
import { isApplicationKey } from './fields.js'
import { fromJson, toJson } from './json.js'
import { Snapshot, type Entry } from './snapshot.js'

/**
 * The option `sessionSchema`: checks values as they are stored, that is as JSON. What the schema makes of them, such as a
 * default, is not used: a stored value must fit the schema again when it is read.
 */
export class SessionSchema {
  readonly #schema: StandardSchema
  readonly #log: FastifyBaseLogger
  /** The keys that the log has named. */
  readonly #reported = new Set<string>()

  /** @throws ConfigError if the schema answers with a promise. */
  constructor (schema: StandardSchema, log: FastifyBaseLogger) {
    this.#schema = schema
    this.#log = log
    if (this.#validate({}) === null) throw new ConfigError('sessionSchema must answer without a promise: leave out asynchronous checks.')
  }

  /**
   * Checks values that are to be stored beside others. Only an issue of these values, or one of the whole, is an error.
   *
   * @param others the other values of the session
   * @throws SessionSchemaError, SessionValueError, AsyncSchemaError
   */
  assertFits (entries: Iterable<Entry>, others: Snapshot): void {
    const values = new Map([...entries].flatMap(([key, value]) => value === undefined || !isApplicationKey(key) ? [] : [[key, fromJson(toJson(key, value))]]))
    if (values.size === 0) return
    const issues = others.with(values, (candidate) => this.#issuesOf(candidate).map(resolved))
    for (const { message, path } of issues) {
      const [key] = path
      if (key === undefined) throw new SessionSchemaError([...values.keys()].join(', '), message)
      if (values.has(key)) throw new SessionSchemaError(path.join('.'), message)
    }
  }

  /**
   * Checks the changes that a call takes: an object may have changed since it was set or read.
   *
   * @param keep the keys that the session keeps; null: all of them
   * @throws SessionSchemaError, SessionValueError, AsyncSchemaError
   */
  assertChangesFit (changes: ReadonlyMap<string, Change>, keep: ReadonlySet<string> | null, values: { entries (): Entry[] }): void {
    const objects = [...changes].filter(([key, { value }]) => typeof value === 'object' && keep?.has(key) !== false)
    if (objects.length === 0) return
    this.assertFits(objects.map(([key, { value }]) => [key, value] as const), new Snapshot(values.entries().filter(([key]) => keep?.has(key) !== false)))
  }

  /** Returns the keys whose stored values do not fit. The log names each once. @throws AsyncSchemaError */
  misfits (fields: SessionFields): ReadonlySet<string> {
    const values = new Map(Object.entries(fields).filter(([key]) => isApplicationKey(key)).map(([key, text]) => [key, fromJson(text)]))
    const misfits = new Set<string>()
    // Each round drops at least one value, or is the last.
    for (let dropped = this.#blamed(values); dropped.length > 0; dropped = this.#blamed(values)) {
      for (const key of dropped) {
        values.delete(key)
        misfits.add(key)
        this.#report(key)
      }
    }
    return misfits
  }

  /** Returns the keys of the values that break the schema. If no value does so by itself, it is all of them. */
  #blamed (values: ReadonlyMap<string, unknown>): string[] {
    if (values.size === 0) return []
    const paths = this.#issuesOf(Object.fromEntries(values)).map((issue) => resolved(issue).path)
    const named = [...new Set(paths.flatMap(([key]) => key !== undefined && values.has(key) ? [key] : []))]
    if (named.length > 0 || paths.every((path) => path.length > 0)) return named
    const alone = [...values].filter((entry) => this.#issuesOf(Object.fromEntries([entry])).some((issue) => resolved(issue).path.length === 0))
    return alone.length > 0 ? alone.map(([key]) => key) : [...values.keys()]
  }

  #report (key: string): void {
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    this.#log.warn({ key }, 'a stored session value does not fit sessionSchema; handlers do not see it')
  }

  #issuesOf (values: Record<string, unknown>): readonly SchemaIssue[] {
    const issues = this.#validate(values)
    if (issues === null) throw new AsyncSchemaError()
    return issues
  }

  /** Returns null if the schema answers with a promise. */
  #validate (values: Record<string, unknown>): readonly SchemaIssue[] | null {
    const result = this.#schema['~standard'].validate(values)
    if (!('then' in result)) return result.issues ?? []
    result.catch(() => {})
    return null
  }
}

function resolved ({ message, path = [] }: SchemaIssue): { message: string, path: string[] } {
  return { message, path: path.map((part) => String(typeof part === 'object' ? part.key : part)) }
}
