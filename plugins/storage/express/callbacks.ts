type Callback<T> = (error?: unknown, value?: T | null) => void

/** Turns a call with a callback into a promise. */
export function answerOf<T> (call: (callback: Callback<T>) => unknown): Promise<T | null | undefined> {
  return new Promise((resolve, reject) => {
    const returned = call((error, value) => { if (error) reject(error); else resolve(value) })
    // A store may be written with promises: nobody else would see an error that it throws there.
    Promise.resolve(returned).catch(reject)
  })
}

/** Does the same for a call that concerns one session, where a missing file means a missing session: null. */
export async function answerUnlessMissing<T> (call: (callback: Callback<T>) => unknown): Promise<T | null | undefined> {
  try {
    return await answerOf(call)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** Does the same for the read of a session, where a text that is no JSON means a missing session as well. */
export async function sessionUnlessMissing (call: (callback: Callback<unknown>) => unknown): Promise<unknown> {
  try {
    return await answerUnlessMissing(call)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** Tells whether an error means a missing file, and so a missing session, as in express-session. A missing socket does not. */
function isMissing (error: unknown): boolean {
  // A store can throw anything, also null.
  const { code, syscall } = Object(error) as NodeJS.ErrnoException
  return code === 'ENOENT' && syscall !== 'connect'
}
