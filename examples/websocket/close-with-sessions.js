const LOG_IN_FIRST = 4401
const TRY_AGAIN_LATER = 1013

/** Keeps sockets by their session, and closes those whose session has ended. */
export function closeWithSessions (sessions) {
  const socketsByHandle = new Map()

  for (const event of ['destroyed', 'revoked', 'expired']) {
    sessions.on(event, ({ handle }) => {
      for (const socket of socketsByHandle.get(handle) ?? []) socket.close(LOG_IN_FIRST, 'the session has ended')
    })
  }

  // A session continues under a new handle, for example after a second login.
  sessions.on('renewed', ({ handle, previous }) => {
    const sockets = socketsByHandle.get(previous)
    if (sockets === undefined) return
    socketsByHandle.delete(previous)
    socketsByHandle.set(handle, new Set([...sockets, ...socketsByHandle.get(handle) ?? []]))
  })

  return { add }

  /** Adds a socket. Returns its session, or closes it and returns null if nobody is logged in. */
  async function add (socket, request) {
    // An invalid frame, for example. Without a listener it would end the process; `ws` closes the socket by itself.
    socket.on('error', () => {})
    try {
      const session = await sessions.read(request)
      if (session !== null && session.user !== null) {
        keep(socket, session.handle)
        // The session may have ended after the store had answered, and before its end could close this socket.
        if (await sessions.read(request) !== null) return session
      }
      socket.close(LOG_IN_FIRST, 'log in first')
    } catch {
      // The store cannot answer, so nobody knows whether the user is logged in.
      socket.close(TRY_AGAIN_LATER, 'try again later')
    }
    return null
  }

  function keep (socket, handle) {
    const sockets = socketsByHandle.get(handle) ?? new Set()
    socketsByHandle.set(handle, sockets.add(socket))
    socket.once('close', () => {
      for (const [handle, sockets] of socketsByHandle) {
        if (sockets.delete(socket) && sockets.size === 0) socketsByHandle.delete(handle)
      }
    })
  }
}
