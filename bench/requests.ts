/** A request to a contender, but for its cookies and the word in its body. */
export interface RequestTemplate {
  method: 'GET' | 'POST' | 'PUT'
  path: string
  headers?: Readonly<Record<string, string>>
  /** Makes the JSON body, of the name of the user or of the new value. */
  body?: (word: string) => string
}

export type RequestName = 'page' | 'verify' | 'change' | 'value' | 'login' | 'logout'

/** null: there is no such request. */
export type Requests = Record<RequestName, RequestTemplate | null>

const JSON_ACCEPTED = { accept: 'application/json' }

/** The requests of every contender that names no others. */
const requests: Requests = {
  page: { method: 'GET', path: '/', headers: { accept: 'text/html' } },
  /** Whether the visitor is logged in: 204, or 401. */
  verify: { method: 'GET', path: '/verify', headers: JSON_ACCEPTED },
  change: { method: 'POST', path: '/visits', headers: JSON_ACCEPTED, body: (visits) => `{"visits":${visits}}` },
  /** What the last change has stored. This is checked, and not measured. */
  value: { method: 'GET', path: '/visits', headers: JSON_ACCEPTED },
  login: { method: 'POST', path: '/login', headers: JSON_ACCEPTED, body: (name) => `{"client_name":"${name}","password":"a phrase that is on no list"}` },
  logout: { method: 'POST', path: '/logout', headers: JSON_ACCEPTED }
}

/** Returns a request of a contender; null if it has none of this kind. */
export function requestOf ({ requests: own = {} }: { requests?: Partial<Requests> }, name: RequestName): RequestTemplate | null {
  return own[name] === undefined ? requests[name] : own[name]
}
