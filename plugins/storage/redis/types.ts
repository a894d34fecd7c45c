/** Another kind of value lies under a key than hatcheck writes there. */
export const WRONG_TYPE = Symbol('wrong type')

/** For the error of a command: that the value is of another kind is no failure of Redis. @throws the error, if it is another one. */
export function wrongType (error: Error): typeof WRONG_TYPE {
  if (error.message.startsWith('WRONGTYPE')) return WRONG_TYPE
  throw error
}
