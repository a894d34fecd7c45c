/** The answer of a call that may be synchronous. */
export type MaybePromise<T> = T | Promise<T>

/** Continues with an answer: at once if it is synchronous. */
export function after<A, B> (answer: MaybePromise<A>, done: (answer: A) => MaybePromise<B>): MaybePromise<B> {
  return isThenable(answer) ? Promise.resolve(answer).then(done) : done(answer)
}

/** A store of the application may return promises of another class. */
export function isThenable<T> (answer: MaybePromise<T>): answer is Promise<T> {
  return typeof (answer as { then?: unknown } | null | undefined)?.then === 'function'
}
