import type { Row } from './row.js'

/** The options that only the process of the service reads, from the environment. */
export const PROCESS_OPTIONS = {
  /**
   * The address to listen on. Beyond loopback, `SECRET_KEY` or `SECRET_KEY_FILE` is required.
   *
   * If a name has several addresses, hatcheck listens at one of them: `localhost` is 127.0.0.1, or ::1 if the name has no IPv4
   * address.
   * @default `127.0.0.1`
   */
  host: { type: 'text', form: 'an address or a host name, without a port', default: '127.0.0.1', help: 'address to listen on' },
  /**
   * The port to listen on. `0` takes a free port, which the log names.
   * @default `3000`
   */
  port: { type: 'integer', minimum: 0, maximum: 65_535, default: 3_000, help: 'port to listen on' },
  // One per core is enough; a larger number is a mistake.
  /**
   * The number of processes that serve. More than one is refused with `memory:`.
   * @default `1`
   * @see `docs/production.md#several-processes`
   */
  workers: { type: 'integer', unit: 'processes', minimum: 1, maximum: 64, default: 1, help: 'number of server processes' },
  /**
   * The proxies whose forwarding headers are trusted, separated by commas. `loopback`, `linklocal` and `uniquelocal`
   * (10/8, 172.16/12, 192.168/16, fc00::/7) name ranges.
   *
   * If another address sends `X-Forwarded-For`, the log warns, at most once a minute.
   * @default none
   */
  trustProxy: { type: 'proxies', form: 'addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8', help: 'proxies whose forwarding headers are trusted' },
  /**
   * A port that serves the metrics and nothing else. `0` takes a free port, which the log names.
   * @default none: `/metrics` is on `PORT`, for this machine alone
   * @see `docs/audit-and-metrics.md#metrics`
   */
  metricsPort: { type: 'integer', minimum: 0, maximum: 65_535, help: 'port of the Prometheus metrics; without it /metrics on PORT, for this machine only' },
  /**
   * The lowest level that is logged.
   * @default `info`
   */
  logLevel: { type: 'word', words: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], default: 'info', help: 'lowest level that is logged' },
  /**
   * `off`: requests write only warnings, errors and security events.
   * @default `on`
   */
  requestLog: { type: 'word', words: ['on', 'off'], default: 'on' },
  /**
   * Whether security events are logged, at every `LOG_LEVEL`.
   * @default `on`; with `LOG_LEVEL=silent`: `off`
   * @see `docs/audit-and-metrics.md#audit-log`
   */
  auditLog: { type: 'word', words: ['on', 'off'] }
} as const satisfies Record<string, Row>
