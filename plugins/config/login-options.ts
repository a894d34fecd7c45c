import type { Row } from './row.js'

/** A path or an address in visible ASCII, as a Location header needs it. Browsers read `//` and a backslash as the beginning of a host. */
const PLACE = /^(?:\/(?!\/)|https?:\/\/(?=[^/?#]))[!-[\]-~]*$/
const PLACE_FORM = 'a path such as /start, or an address such as https://app.example.com/start'

/** Where hatcheck leads for a login, and after it. */
export const LOGIN_OPTIONS = {
  /**
   * Where a login leads without an allowed `next`: a path from the root of the server, or an address. To choose the page by
   * the user, let a route there redirect.
   * @default the start page
   */
  afterLogin: { type: 'text', pattern: PLACE, form: PLACE_FORM },
  /**
   * Where a logout leads: a path from the root of the server, or an address.
   * @default the start page
   */
  afterLogout: { type: 'text', pattern: PLACE, form: PLACE_FORM },
  /**
   * The login page of the application, from the root of the server: `requireLogin` and `requireUser` redirect a browser there,
   * with the address to return to as `?next=`. hatcheck then serves no login page.
   * @default hatcheck's own login page, if it is among `routes`
   * @see `docs/own-login.md`
   */
  loginPath: { type: 'text', pattern: /^(?=\/)(?:\/[\w.~!$&'()*+,;=:@%-]+)*\/?$/, form: 'a path such as /sign-in, without a query', only: 'plugin' }
} as const satisfies Record<string, Row>
