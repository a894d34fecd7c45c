import { createRefusal, createUnavailable } from '../common/http-errors.js'
import { lazyPackage } from '../common/lazy-package.js'
import { isCommonPassword } from './common-passwords.js'
import { HashQueue } from './hash-queue.js'

/** A password breaks a rule. The text is the rule. */
export const PasswordError = createRefusal<'HATCHECK_PASSWORD', 400, [string]>('HATCHECK_PASSWORD', '%s', 400)

/** Too many logins wait at once; nothing was hashed. */
export const BusyError = createUnavailable('HATCHECK_BUSY', 'Too many people are logging in right now. Please try again in a moment.', 2)

/** Loaded at the first password: it is native, and many applications never hash one. */
const argon2 = lazyPackage<typeof import('@node-rs/argon2')>('@node-rs/argon2')

/** OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, two passes, one lane. Tests that hash often lower it. */
export const ARGON2ID = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** The longest password, in bytes: longer ones would keep the hashing busy. */
export const LONGEST_PASSWORD_BYTES = 1_024

/**
 * Code units that are not characters: half of a surrogate pair, and the replacement character, which stands for any bytes that are not UTF-8.
 * UTF-8 turns each half into a replacement character as well, so different passwords would be equal.
 */
const UNDECODED = /[\p{Cs}\ufffd]/u

/** How many passwords are hashed at once: half of libuv's default pool of four threads. The store's flushes need the other half. */
const CONCURRENCY = 2
/** How many strangers may wait beyond that: about two seconds of work. */
const LONGEST_QUEUE = 64
/** How many attempts from known devices and networks may wait beside these. Strangers cannot take their places. */
const FAMILIAR_QUEUE = 32

const queue = new HashQueue(CONCURRENCY)

/** The rules for a new password, beyond those for every password. */
export interface PasswordPolicy {
  /** The shortest password, in characters. */
  passwordMinLength: number
  /** Whether a password may be a common one. */
  commonPasswords: 'refused' | 'allowed'
}

/**
 * Checks a new password against the rules.
 *
 * @param name the name of the account
 * @throws PasswordError if this cannot be the account's new password.
 */
export async function assertNewPassword (password: unknown, name: string, { passwordMinLength, commonPasswords }: PasswordPolicy): Promise<void> {
  assertPassword(password)
  if ([...password].length < passwordMinLength) throw new PasswordError(`A password must have at least ${passwordMinLength} characters.`)
  if (commonPasswords === 'refused' && await isCommonPassword(password, name)) {
    throw new PasswordError('This password is too easy to guess: it is a common password, a keyboard sequence, a repetition, or little more than the name.')
  }
}

/** Checks that a text can be a password at all. Must run before any work that grows with its length. @throws PasswordError */
export function assertPassword (password: unknown): asserts password is string {
  if (typeof password !== 'string') throw new PasswordError('The password is missing.')
  if (Buffer.byteLength(password) > LONGEST_PASSWORD_BYTES) throw new PasswordError(`A password can have at most ${LONGEST_PASSWORD_BYTES} bytes.`)
  if (UNDECODED.test(password)) throw new PasswordError('A password must be valid Unicode text: it contains a character that cannot be decoded.')
}

/**
 * Hashes a password with argon2id and a salt of its own. Returns a PHC string.
 *
 * @param isFamiliar whether the attempt comes from a known device or network: it uses their places and is hashed first
 * @throws BusyError before hashing, when too many wait.
 */
export function hashPassword (password: string, isFamiliar = false): Promise<string> {
  return queued(() => argon2().hash(normal(password), ARGON2ID), isFamiliar)
}

/**
 * Checks a password against its hash. With null, for an unknown name, it takes as long and resolves to false: the time must not
 * tell which names exist.
 *
 * @param isFamiliar as with {@link hashPassword}
 * @throws BusyError before hashing, when too many wait.
 */
export function verifyPassword (passwordHash: string | null, password: string, isFamiliar = false): Promise<boolean> {
  return queued(async () => {
    const { hash, verify } = argon2()
    if (passwordHash !== null) return await verify(passwordHash, normal(password))
    await hash(normal(password), ARGON2ID)
    return false
  }, isFamiliar)
}

/**
 * Checks for a free place in the queue. For attempts that must wait elsewhere first, with the number of those that wait there.
 *
 * @throws BusyError when too many wait.
 */
export function assertNotBusy (waitingElsewhere = 0, isFamiliar = false): void {
  if (queue.waiting(isFamiliar) + waitingElsewhere >= (isFamiliar ? FAMILIAR_QUEUE : LONGEST_QUEUE)) throw new BusyError()
}

/** Tells whether a hash was made with less memory or less work than the current parameters. A stronger hash, from a later version, is not outdated. */
export function isOutdated (passwordHash: string): boolean {
  const [, memory, passes] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),/.exec(passwordHash)?.map(Number) ?? []
  if (memory === undefined || passes === undefined) return true
  return memory < ARGON2ID.memoryCost || memory * passes < ARGON2ID.memoryCost * ARGON2ID.timeCost
}

/** Normalizes a password to NFC: another keyboard may send the same characters as other code points. Source: NIST SP 800-63B-4, section 3.1.1.2. */
function normal (password: string): string {
  return password.normalize('NFC')
}

async function queued<T> (work: () => Promise<T>, isFamiliar: boolean): Promise<T> {
  assertNotBusy(0, isFamiliar)
  return await queue.run(work, isFamiliar)
}
