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
