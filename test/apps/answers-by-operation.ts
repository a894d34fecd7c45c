import { MemoryStore } from '../../plugins/storage/memory/sessions.js'
import type { Answer, Headers } from '../clients/client.js'
import { gate, times } from '../helper.js'
import { watched } from '../stores/watched-store.js'
import { CREDENTIALS, MOST, type Begin, type BeginHost, type Scene } from './scene.js'

/** How an answer comes about. */
export type Way = (begin: Begin, beginHost: BeginHost) => Promise<Answer>

const HTTPS = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.1' }
const OPEN = { mode: 'service', signup: 'open' } as const
const SECURE = { ...OPEN, sessionCookieSecure: true } as const
const DOMAIN = { ...OPEN, sessionCookieSecure: false, sessionCookieDomain: 'hatcheck.example' } as const
const OWN_HOST: Headers = { host: 'hatcheck.example' }
/** The session has the name of the client in it. */
const LONG_NAME: Headers = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0' }
const IN_COOKIES = { sessionStore: 'cookie:memory:' } as const
const NOT_REVOKED = { ...IN_COOKIES, sessionRevocation: 'none' } as const
const authenticate = (name: string): { name: string } => ({ name })

/** A service whose store has this much room. */
function withRoom (maxTotalBytes: number) {
  return { mode: 'service', sessionStore: new MemoryStore({ now: Date.now, maxBytes: MOST, maxTotalBytes }), authenticate } as const
}

/** An application whose store cannot list the sessions of a user. */
function withoutLists () {
  const { ofUser, removeOfUser, ...sessionStore } = watched(new MemoryStore({ now: Date.now, maxBytes: MOST }), () => {})
  return { sessionStore, authenticate }
}

/** The answer of one of many requests at once, while no check of a password ends. */
async function whileChecking (scene: Scene, operation: string): Promise<Answer> {
  const { open, passed } = gate()
  scene.atCheck(async () => {
    await passed
    return null
  })
  const all = times(20, () => scene.send(operation))
  const first = await Promise.race(all)
  open()
  await Promise.all(all)
  return first
}

/** The answer to the last of many wrong passwords. */
async function afterFailures (scene: Scene, send: () => Promise<Answer>): Promise<Answer> {
  scene.atCheck(async () => null)
  let answer = await send()
  for (let i = 0; i < 100 && answer.statusCode !== 429; i++) answer = await send()
  return answer
}

/** Answers that need a request or a state of the service of their own, by operation. */
export const ANSWERS: Readonly<Record<string, Record<string, Way>>> = {
  logIn: {
    '400 HATCHECK_CREDENTIALS': async (begin) => (await begin()).sendJson('logIn', { client_name: 'Harry', password: '' }),
    '400 HATCHECK_NAME': async (begin) => (await begin()).sendJson('logIn', { client_name: '', password: '12345678' }),
    '400 HATCHECK_PASSWORD': async (begin) => (await begin({})).sendJson('logIn', { client_name: 'Harry', password: 'short' }),
    '400 HATCHECK_INSECURE_TRANSPORT': async (begin) => (await begin(SECURE)).send('logIn'),
    '400 HATCHECK_COOKIE_DOMAIN': async (begin) => (await begin(DOMAIN)).send('logIn'),
    '401 HATCHECK_WRONG_CREDENTIALS': async (begin) => (await (await begin({})).logIn()).sendJson('logIn', { client_name: 'Harry', password: 'not this one' }),
    '413 HATCHECK_SESSION_TOO_LARGE': async (begin) => (await (await begin({})).fill()).send('logIn'),
    '429 HATCHECK_THROTTLED': async (begin) => {
      const scene = await begin({})
      return await afterFailures(scene, () => scene.send('logIn'))
    },
    '503 HATCHECK_BUSY': async (begin) => await whileChecking(await begin({}), 'logIn'),
    '503 HATCHECK_STORE_FULL': async (begin) => (await begin(withRoom(0))).send('logIn'),
    '503 HATCHECK_LOGOUT_UNCONFIRMED': async (begin) => {
      const scene = await begin({})
      // The account is disabled just after its password was checked.
      scene.fastify.hatcheck.login.isStillValid = async () => false
      return await scene.break('remove').send('logIn')
    }
  },
  getLogin: {
    303: async (begin) => (await (await begin()).logIn()).send('getLogin')
  },
  followLogout: {
    '403 HATCHECK_CROSS_ORIGIN': async (begin) => (await begin()).send('followLogout', { headers: { 'sec-fetch-site': 'cross-site' } }),
    '503 HATCHECK_LOGOUT_UNCONFIRMED': async (begin) => (await (await begin({})).logIn()).break('remove').send('followLogout')
  },
  logOut: {
    '413 FST_ERR_CTP_BODY_TOO_LARGE': async (begin) => (await begin()).sendJson('logOut', ['x'.repeat(1_048_576)]),
    '503 HATCHECK_LOGOUT_UNCONFIRMED': async (begin) => (await (await begin({})).logIn()).break('remove').send('logOut')
  },
  getPassword: {
    200: async (begin) => (await (await begin()).logIn()).send('getPassword')
  },
  changePassword: {
    200: async (begin) => (await (await begin({})).logIn()).send('changePassword'),
    '400 HATCHECK_CREDENTIALS': async (begin) => (await (await begin()).logIn()).sendJson('changePassword', {}),
    '400 HATCHECK_PASSWORD': async (begin) => (await (await begin()).logIn()).sendJson('changePassword', { current_password: CREDENTIALS.password, new_password: 'short' }),
    '400 HATCHECK_INSECURE_TRANSPORT': async (begin) => (await (await begin(SECURE, { trustProxy: true })).logIn(HTTPS)).send('changePassword'),
    '400 HATCHECK_COOKIE_DOMAIN': async (begin) => (await (await begin(DOMAIN)).logIn(OWN_HOST)).send('changePassword'),
    '409 HATCHECK_OTHER_USER': async (begin) => (await (await begin()).logIn()).sendJson('changePassword', { user: 'Sally' }),
    '403 HATCHECK_WRONG_PASSWORD': async (begin) => (await (await begin({})).logIn()).sendJson('changePassword', { current_password: 'not this one', new_password: 'staple of something else' }),
    '409 HATCHECK_SESSION_GONE': async (begin) => {
      const scene = await (await begin({})).logIn()
      return await scene.atCheck(async (check) => {
        await scene.fastify.sessions.revokeUser('Harry')
        return await check()
      }).send('changePassword')
    },
    '429 HATCHECK_THROTTLED': async (begin) => {
      const scene = await (await begin({})).logIn()
      return await afterFailures(scene, () => scene.send('changePassword'))
    },
    '503 HATCHECK_BUSY': async (begin) => await whileChecking(await (await begin({})).logIn(), 'changePassword'),
    '503 HATCHECK_PASSWORD_CHANGE_UNFINISHED': async (begin) => (await (await begin({})).logIn()).break('replace').send('changePassword')
  },
  listSessions: {
    200: async (begin) => (await (await begin()).logIn()).send('listSessions'),
    '501 HATCHECK_STORE_METHOD_MISSING': async (_begin, beginHost) => (await (await beginHost(withoutLists())).logIn()).send('listSessions')
  },
  endSessions: {
    200: async (begin) => (await (await begin()).logIn()).send('endSessions'),
    '400 HATCHECK_WHICH_SESSION': async (begin) => (await (await begin()).logIn()).sendJson('endSessions', {}),
    '400 HATCHECK_CREDENTIALS': async (begin) => (await (await begin()).logIn()).sendJson('endSessions', { others: '1', password: 1 }),
    '400 HATCHECK_PASSWORD': async (begin) => (await (await begin()).logIn()).growOld().sendJson('endSessions', { others: '1', password: 'x'.repeat(1_025) }),
    '400 HATCHECK_INSECURE_TRANSPORT': async (begin) => (await (await begin(SECURE, { trustProxy: true })).logIn(HTTPS)).growOld().send('endSessions'),
    '400 HATCHECK_COOKIE_DOMAIN': async (begin) => (await (await begin(DOMAIN)).logIn(OWN_HOST)).growOld().send('endSessions'),
    '401 HATCHECK_REAUTHENTICATE': async (begin) => (await (await begin()).logIn()).growOld().sendJson('endSessions', { others: '1' }),
    '401 HATCHECK_WRONG_CREDENTIALS': async (begin) => (await (await begin({})).logIn()).growOld().sendJson('endSessions', { others: '1', password: 'not this one' }),
    '404 HATCHECK_NO_SUCH_SESSION': async (begin) => (await (await begin()).logIn()).sendJson('endSessions', { handle: 'other' }),
    '409 HATCHECK_OTHER_USER': async (begin) => (await (await begin()).logIn()).sendJson('endSessions', { others: '1', user: 'Sally' }),
    '409 HATCHECK_SESSION_GONE': async (begin) => {
      const scene = (await (await begin({})).logIn()).growOld()
      return await scene.atCheck(async (check) => {
        await scene.fastify.sessions.revokeUser('Harry')
        return await check()
      }).send('endSessions')
    },
    '413 HATCHECK_SESSION_TOO_LARGE': async (begin) => (await (await (await begin({})).logIn()).fill()).growOld().send('endSessions', { headers: LONG_NAME }),
    '429 HATCHECK_THROTTLED': async (begin) => {
      const scene = (await (await begin({})).logIn()).growOld()
      return await afterFailures(scene, () => scene.send('endSessions'))
    },
    '501 HATCHECK_REVOCATION_OFF': async (begin) => (await (await begin(NOT_REVOKED)).logIn()).send('endSessions'),
    '501 HATCHECK_SESSIONS_IN_COOKIES': async (begin) => (await (await begin(IN_COOKIES)).logIn()).sendJson('endSessions', { handle: 'other' }),
    '501 HATCHECK_STORE_METHOD_MISSING': async (_begin, beginHost) => (await (await beginHost(withoutLists())).logIn()).send('endSessions'),
    '503 HATCHECK_BUSY': async (begin) => await whileChecking((await (await begin({})).logIn()).growOld(), 'endSessions'),
    '503 HATCHECK_STORE_FULL': async (begin) => {
      const scene = await (await begin(withRoom(4_096))).logIn({ 'user-agent': 'x' })
      let size = 0
      for (let more = 4_096; more >= 1; more /= 2) if ((await scene.client.put('/session/most', 'x'.repeat(size + more))).statusCode < 300) size += more
      return await scene.growOld().send('endSessions', { headers: LONG_NAME })
    },
    '503 HATCHECK_LOGOUT_UNCONFIRMED': async (begin) => {
      const scene = await (await begin({})).logIn()
      const { handle } = (await scene.client.get('/session')).json<{ handle: string }>()
      return await scene.break('remove').sendJson('endSessions', { handle })
    }
  },
  endOtherSessions: {
    200: async (begin) => (await (await begin()).logIn()).send('endOtherSessions'),
    '401 HATCHECK_REAUTHENTICATE': async (begin) => (await (await begin()).logIn()).growOld().send('endOtherSessions'),
    '501 HATCHECK_REVOCATION_OFF': async (begin) => (await (await begin(NOT_REVOKED)).logIn()).send('endOtherSessions'),
    '501 HATCHECK_STORE_METHOD_MISSING': async (_begin, beginHost) => (await (await beginHost(withoutLists())).logIn()).send('endOtherSessions')
  },
  endSession: {
    204: async (begin) => {
      const scene = await (await begin()).logIn()
      const { handle } = (await scene.client.get('/session')).json<{ handle: string }>()
      return await scene.send('endSession', { url: `/sessions/${handle}` })
    },
    '401 HATCHECK_REAUTHENTICATE': async (begin) => (await (await begin()).logIn()).growOld().send('endSession'),
    '404 HATCHECK_NO_SUCH_SESSION': async (begin) => (await (await begin()).logIn()).send('endSession'),
    '501 HATCHECK_SESSIONS_IN_COOKIES': async (begin) => (await (await begin(IN_COOKIES)).logIn()).send('endSession'),
    '501 HATCHECK_STORE_METHOD_MISSING': async (_begin, beginHost) => (await (await beginHost(withoutLists())).logIn()).send('endSession'),
    '503 HATCHECK_LOGOUT_UNCONFIRMED': async (begin) => {
      const scene = await (await begin({})).logIn()
      const { handle } = (await scene.client.get('/session')).json<{ handle: string }>()
      return await scene.break('remove').send('endSession', { url: `/sessions/${handle}` })
    }
  },
  verify: {
    204: async (begin) => (await (await begin()).logIn()).send('verify'),
    303: async (begin) => (await begin(OPEN, { trustProxy: true })).send('verify', { headers: { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-uri': '/a', 'x-forwarded-method': 'GET' } }),
    '400 HATCHECK_VERIFY_QUERY': async (begin) => (await (await begin()).logIn()).send('verify', { url: '/verify?group=x' }),
    '403 HATCHECK_NOT_ALLOWED': async (begin) => (await (await begin()).logIn()).send('verify', { url: '/verify?user=Luna' })
  },
  whoAmI: {
    200: async (begin) => (await (await begin()).logIn()).send('whoAmI')
  },
  getSessionValue: {
    200: async (begin) => (await (await begin()).put(1)).send('getSessionValue')
  },
  setSessionValue: {
    204: async (begin) => (await (await begin()).put(1)).send('setSessionValue'),
    '400 HATCHECK_SESSION_KEY': async (begin) => (await begin()).send('setSessionValue', { url: '/session/__proto__' }),
    '400 HATCHECK_SESSION_VALUE': async (begin) => (await begin()).send('setSessionValue', { payload: '12345678901234567890' }),
    '400 HATCHECK_INSECURE_TRANSPORT': async (begin) => (await begin(SECURE)).send('setSessionValue'),
    '400 HATCHECK_COOKIE_DOMAIN': async (begin) => (await begin(DOMAIN)).send('setSessionValue'),
    '401 HATCHECK_ANONYMOUS_SESSION': async (begin) => (await begin({ anonymousSessions: false })).send('setSessionValue'),
    '403 HATCHECK_IDENTITY_KEY': async (begin) => (await begin()).send('setSessionValue', { url: '/session/client_name' }),
    '409 HATCHECK_SESSION_GONE': async (begin) => {
      const scene = await (await begin({})).logIn()
      return await endedMeanwhile(scene, 'setSessionValue')
    },
    '413 HATCHECK_SESSION_TOO_LARGE': async (begin) => (await (await begin({})).fill()).send('setSessionValue'),
    '429 HATCHECK_TOO_MANY_SESSIONS': async (begin) => {
      const scene = await begin({ anonymousSessionsPerMinute: 1 })
      await scene.put(1)
      scene.client.cookies.clear()
      return await scene.send('setSessionValue')
    },
    '503 HATCHECK_STORE_FULL': async (begin) => (await begin(withRoom(0))).send('setSessionValue')
  },
  checkReadiness: {
    '503 HATCHECK_STOPPING': async (begin) => {
      const scene = await begin({})
      const draining = scene.fastify.hatcheck.http.drain()
      const answer = await scene.send('checkReadiness')
      await draining
      return answer
    }
  },
  popSessionValue: {
    200: async (begin) => (await (await begin()).put(1)).send('popSessionValue'),
    '400 HATCHECK_INSECURE_TRANSPORT': async (begin) => (await (await begin({ ...SECURE, ...IN_COOKIES }, { trustProxy: true })).put(1, HTTPS)).send('popSessionValue'),
    '400 HATCHECK_COOKIE_DOMAIN': async (begin) => (await (await begin({ ...DOMAIN, ...IN_COOKIES })).put(1, OWN_HOST)).send('popSessionValue'),
    '403 HATCHECK_IDENTITY_KEY': async (begin) => (await begin()).send('popSessionValue', { url: '/session/client_name' }),
    '409 HATCHECK_SESSION_GONE': async (begin) => await endedMeanwhile(await (await (await begin({})).logIn()).put(1), 'popSessionValue'),
    '413 HATCHECK_SESSION_TOO_LARGE': async (begin) => {
      const options = withRoom(4 * MOST)
      const { client } = await (await (await begin(options)).put(1)).fill()
      // The limit is lower since.
      return await (await begin({ ...options, sessionMaxBytes: 1_024 })).send('popSessionValue', { headers: { cookie: client.cookieHeader } })
    }
  }
}

/** Ends the sessions of the user just before a change is stored. */
async function endedMeanwhile (scene: Scene, operation: string): Promise<Answer> {
  const { sessions } = scene.fastify
  const patch = sessions.store.patch.bind(sessions.store)
  sessions.store.patch = async (...change) => {
    await sessions.revokeUser('Harry')
    return await patch(...change)
  }
  return await scene.send(operation)
}
