type Callback<T> = (error?: unknown, value?: T | null) => void

/** Turns a call with a callback into a promise. Undefined, null and a missing file all mean "missing". */
export function answerOf<T> (call: (callback: Callback<T>) => unknown): Promise<T | null | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => { if (isMissing(error)) resolve(null); else reject(error) }
    const returned = call((error, value) => { if (error) fail(error); else resolve(value) })
    // A store may be written with promises: nobody else would see an error that it throws there.
    Promise.resolve(returned).catch(fail)
  })
}

/** Tells whether an error means a missing session, as in express-session. A missing socket does not. */
function isMissing (error: unknown): boolean {
  // A store can throw anything, also null.
  const { code, syscall } = Object(error) as NodeJS.ErrnoException
  return code === 'ENOENT' && syscall !== 'connect'
}
