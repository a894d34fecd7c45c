/** The methods that hatcheck uses of a store made for express-session. It does not use `touch`, which cannot change what is stored. */
export interface ExpressSessionStore {
  /** Reads a session. Answers undefined or null if it is missing. */
  get (sid: string, callback: (error: any, session?: any) => void): unknown
  /** Writes a whole session. */
  set (sid: string, session: any, callback?: (error?: any) => void): unknown
  /** Deletes a session. */
  destroy (sid: string, callback?: (error?: any) => void): unknown
  /** Reads every session, as a list or by ID. */
  all? (callback: (error: any, sessions?: any) => void): unknown
  /** Counts the sessions. */
  length? (callback: (error: any, length?: number) => void): unknown
}

type Callback<T> = (error?: unknown, value?: T | null) => void

/** Turns a call with a callback into a promise. Undefined, null and a missing file all mean "missing". */
export function answerOf<T> (call: (callback: Callback<T>) => unknown): Promise<T | null | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => { if (isMissing(error)) resolve(null); else reject(error) }
    const returned = call((error, value) => { if (error) fail(error); else resolve(value) })
    // A store may be written with promises: nobody else would see what it throws there.
    Promise.resolve(returned).catch(fail)
  })
}

/** Whether an error means a missing session, as in express-session. A missing socket does not. */
function isMissing (error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return code === 'ENOENT' && syscall !== 'connect'
}
