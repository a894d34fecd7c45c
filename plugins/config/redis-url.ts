import { assertRule } from '../common/rule.js'

/** The parts of a Redis URL. */
export interface RedisTarget {
  kind: 'server' | 'socket' | 'cluster' | 'sentinel'
  tls: boolean
  username: string | undefined
  password: string | undefined
  /** The server, the first nodes of the cluster, or the sentinels. */
  hosts: RedisHost[]
  /** The path of the socket. */
  path: string
  /** The name by which the sentinels know the primary. */
  primary: string
  database: number
  /** The url without user name and password, for people. */
  description: string
}

interface RedisHost {
  host: string
  port: number
}

/** The form of each kind of url, for error texts. */
const FORMS = {
  server: 'redis://[user:password@]host[:port][/database]',
  socket: 'redis+unix:///path/of/the/socket',
  cluster: 'redis+cluster://[user:password@]host[:port],host[:port],…',
  sentinel: 'redis+sentinel://[user:password@]sentinel[:port],sentinel[:port],…/name-of-the-primary[/database]'
} as const

const KINDS = { '': 'server', unix: 'socket', cluster: 'cluster', sentinel: 'sentinel' } as const

const URL_PARTS = /^(?<scheme>rediss?)(?:\+(?<kind>unix|cluster|sentinel))?:\/\/(?:(?<credentials>[^@]*)@)?(?<hosts>[^@/?#]*)(?<path>(?:\/[^@?#]*)?)$/

/** @throws ConfigError with the form of the kind of url */
type AssertForm = (holds: boolean) => asserts holds

/** Tells whether a text begins like a Redis URL. */
export function isRedisUrl (text: string): boolean {
  return /^rediss?(\+\w+)?:/.test(text)
}

/**
 * Parses a Redis URL.
 *
 * @param name of the setting, for the error text
 * @throws ConfigError with the broken rule, and nothing of the url: it may contain a password.
 */
export function parseRedisUrl (url: string, name: string): RedisTarget {
  const { scheme = '', kind: suffix = '', credentials, hosts = '', path = '' } = URL_PARTS.exec(url)?.groups ?? {}
  assertRule(scheme !== '', `${name} is a Redis URL that cannot be read; it must be ${Object.values(FORMS).join(', or ')}. ${ENCODING}`)
  const kind = KINDS[suffix as keyof typeof KINDS]
  const assertForm: AssertForm = (holds) => { assertRule(holds, `${name} must be ${FORMS[kind]}${kind === 'socket' ? '' : ', with rediss for TLS'}. ${ENCODING}`) }

  const [username, password] = credentialsOf(credentials, assertForm)
  const parts = kind === 'socket' ? [] : path.split('/').slice(1)
  const [primary = '', database = '', ...more] = kind === 'sentinel' ? parts : ['', ...parts]
  assertForm(/^\d{0,5}$/.test(database) && more.length === 0)
  assertForm((primary !== '') === (kind === 'sentinel'))
  assertForm(kind !== 'cluster' || path === '' || path === '/')
  assertForm(kind !== 'socket' || (hosts === '' && path.length > 1 && scheme === 'redis'))
  const list = kind === 'socket' ? [] : hosts.split(',').map((host) => hostOf(host, kind === 'sentinel' ? 26_379 : 6_379, assertForm))
  assertForm(kind !== 'server' || list.length === 1)
  return {
    kind,
    tls: scheme === 'rediss',
    username,
    password,
    hosts: list,
    path: kind === 'socket' ? decoded(path, assertForm) : '',
    primary: decoded(primary, assertForm),
    database: Number(database),
    description: `${scheme}${suffix && `+${suffix}`}://${hosts}${path}`
  }
}

const ENCODING = 'Percent-encode special characters in the user name and the password.'

function credentialsOf (text: string | undefined, assertForm: AssertForm): [string | undefined, string | undefined] {
  if (text === undefined) return [undefined, undefined]
  const colon = text.indexOf(':')
  assertForm(colon >= 0)
  return [decoded(text.slice(0, colon), assertForm) || undefined, decoded(text.slice(colon + 1), assertForm) || undefined]
}

function hostOf (text: string, defaultPort: number, assertForm: AssertForm): RedisHost {
  const { host, ipv6, port = String(defaultPort) } = /^(?:(?<host>[\w.-]+)|\[(?<ipv6>[0-9a-f:.]+)\])(?::(?<port>\d{1,5}))?$/i.exec(text)?.groups ?? {}
  const name = host ?? ipv6
  assertForm(name !== undefined && Number(port) <= 65_535)
  return { host: name, port: Number(port) }
}

function decoded (text: string, assertForm: AssertForm): string {
  try {
    return decodeURIComponent(text)
  } catch {
    assertForm(false)
  }
}
