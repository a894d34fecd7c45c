/** The answer of a call that may be synchronous. */
export type MaybePromise<T> = T | Promise<T>
