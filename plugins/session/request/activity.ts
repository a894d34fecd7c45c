import type { MaybePromise } from '../../common/maybe-promise.js'
import { planTouch } from '../model/plan.js'
import type { Session } from './session.js'

/** Records activity, unless that was done a moment ago. The response waits for this only if it has to set the cookie again. */
export function recordActivity (session: Session): MaybePromise<void> {
  const { stored, context } = session
  const recorded = touch(session)
  // A session that has ended gets no cookie, since the browser may have a newer one by now.
  if (recorded !== null && (stored?.ticket.stale === true || context.changesCookie)) {
    return recorded.then((next) => {
      if (next === null) return
      session.rebase(next)
      session.sendCookie('set')
    })
  }
}

/** Does the same for a response that Fastify does not send. A session in a cookie would need one. */
export function recordActivityInStore (session: Session): void {
  if (session.context.changesCookie || touch(session) === null) return
  session.isTouchForced = false
}

function touch (session: Session): ReturnType<Session['context']['writer']['touch']> | null {
  const { stored, context, request } = session
  const times = stored === null ? null : planTouch(stored, session.isTouchForced, context)
  if (stored === null || times === null || session.silence !== null) return null
  return context.writer.touch(stored, times, request)
}
