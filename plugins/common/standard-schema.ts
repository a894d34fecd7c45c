/**
 * A schema of zod, valibot, ArkType or another library that implements Standard Schema. hatcheck needs no package for it.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchema<Input = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    /** Checks a value. hatcheck refuses a promise. */
    readonly validate: (value: unknown) => SchemaResult | Promise<SchemaResult>
    /** Only for TypeScript. */
    readonly types?: { readonly input: Input, readonly output: unknown } | undefined
  }
}

/** The answer of a schema. Without issues, the value fits. */
export interface SchemaResult {
  /** The output of the schema. hatcheck does not use it. */
  readonly value?: unknown
  readonly issues?: readonly SchemaIssue[] | undefined
}

/** A flaw of a value, in the form of Standard Schema. */
export interface SchemaIssue {
  readonly message: string
  /** Leads to the part of the value. Empty or missing: the issue is about the whole. */
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

/** An error of a validator such as TypeBox or Ajv. */
export interface PointedError {
  readonly message?: string | undefined
  /** A JSON Pointer, as TypeBox has it. */
  readonly path?: string | undefined
  /** A JSON Pointer, as Ajv has it. */
  readonly instancePath?: string | undefined
}

/**
 * Makes a schema from a function that lists the errors of a value, for a library without Standard Schema.
 *
 * @param errorsOf returns the errors; none, null or undefined if the value fits
 * @example
 * const sessionSchema = schemaFrom<Static<typeof Cart>>((value) => Value.Errors(Cart, value))
 */
export function schemaFrom<T> (errorsOf: (value: unknown) => Iterable<PointedError> | null | undefined): StandardSchema<T> {
  return {
    '~standard': {
      version: 1,
      vendor: 'hatcheck',
      validate (value) {
        const issues = [...errorsOf(value) ?? []].map(({ message = 'does not fit', path, instancePath }) => ({ message, path: keysOf(path ?? instancePath ?? '') }))
        return issues.length === 0 ? {} : { issues }
      }
    }
  }
}

/** Returns the keys of a JSON Pointer. Source: RFC 6901, section 4. */
function keysOf (pointer: string): string[] {
  return pointer.split('/').slice(1).map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}
