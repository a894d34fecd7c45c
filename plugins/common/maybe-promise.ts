/** The answer of a call that may be synchronous. */
export type MaybePromise<T> = T | Promise<T>

/** Continues with an answer: at once if it is synchronous. */
export function after<A, B> (answer: MaybePromise<A>, done: (answer: A) => MaybePromise<B>): MaybePromise<B> {
  return isThenable(answer) ? Promise.resolve(answer).then(done) : done(answer)
}

/** Continues with the outcome of an action: at once if the action is synchronous. An error of `done` does not go to `failed`. */
export function tryThen<A, B> (action: () => MaybePromise<A>, done: (answer: A) => MaybePromise<B>, failed: (error: unknown) => MaybePromise<B>): MaybePromise<B> {
  let answer
  try {
    answer = action()
  } catch (error) {
    return failed(error)
  }
  return isThenable(answer) ? Promise.resolve(answer).then(done, failed) : done(answer)
}

/** A store of the application may return promises of another class. */
export function isThenable<T> (answer: MaybePromise<T>): answer is Promise<T> {
  return typeof (answer as { then?: unknown } | null | undefined)?.then === 'function'
}
