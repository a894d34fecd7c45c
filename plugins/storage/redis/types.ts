/** A key holds another kind of value than hatcheck writes there. */
export const WRONG_TYPE = Symbol('wrong type')

/** Handles the error of a command: a value of another kind is no failure of Redis. @throws any other error. */
export function wrongType (error: Error): typeof WRONG_TYPE {
  if (error.message.startsWith('WRONGTYPE')) return WRONG_TYPE
  throw error
}
