/** The losses if the sessions are kept in the cookies of the browsers, for the log. */
export const COOKIE_LOSSES: readonly string[] = [
  'hatcheck cannot list them: app.sessions.ofUser and app.sessions.revoke fail, and the page "My sessions" shows this session only',
  'a user may have more sessions than sessionsPerUser',
  'each response that writes the cookie writes all values as its request knew them, so of two requests at once the changes of one are lost',
  'a flash message may be shown twice, to requests at the same time',
  'a user can go back to an older copy of the cookie, and so to older values, until the session ends',
  'app.sessions.store.count fails, revokeUser reports 0 ended sessions, the event "expired" does not occur, and "revoked" occurs only for the end of a single session',
  'a session is limited to the 4,096 bytes of a cookie'
].map((loss) => `The sessions are in the cookies of the browsers: ${loss}.`)

/** The losses if hatcheck does not remember which of them have ended. */
export const REVOCATION_LOSSES: readonly string[] = [
  'a logout, a new ID or destroy() removes the cookie of this browser, and a copy of it stays logged in until its time is over',
  'a new password, a disabled account, app.sessions.revokeUser and the end of all other sessions end no session'
].map((loss) => `hatcheck does not remember which sessions have ended (sessionRevocation is none): ${loss}.`)

/** The further losses if the sessions are in the cookies of a Flask application. */
export const FLASK_LOSSES: readonly string[] = [
  'everybody who has a cookie can read the values in it, since Flask signs them and does not encrypt them',
  'a handle names one signature of a cookie and not the session, and the time of a login in Flask is unknown'
].map((loss) => `The sessions are in the cookies of Flask: ${loss}.`)
