import { hash, verify } from '@node-rs/argon2'
import { createError } from '@fastify/error'
import { createUnavailable } from '../common/unavailable.js'
import { isCommonPassword } from './common-passwords.js'
import { HashQueue } from './hash-queue.js'

export const PasswordError = createError<[string]>('HATCHECK_PASSWORD', '%s', 400)

/** Too many are logging in at once; nothing was hashed. */
export const BusyError = createUnavailable('HATCHECK_BUSY', 'Too many people are logging in right now. Please try again in a moment.', 2)

/** OWASP Password Storage Cheat Sheet, argon2id: 19 MiB, two passes, one lane. Tests that hash often lower it. */
export const ARGON2ID = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** More would be a way to keep the hashing busy. */
const LONGEST_BYTES = 1024

/** In UTF-8 each of them is the same replacement character, and so would be the passwords. */
const HALF_CHARACTER = /\p{Cs}/u

/** At once; half of libuv's default pool of four threads, the other half is for the store's flushes. */
const CONCURRENCY = 2
/** How many strangers may wait beyond that; about two seconds of work. */
const LONGEST_QUEUE = 64
/** Places beside these, for known devices and networks: strangers can take none of them. */
const FAMILIAR_QUEUE = 32

const queue = new HashQueue(CONCURRENCY)

/** What a new password has to be, beyond what every password has to be. */
export interface PasswordPolicy {
  /** In characters. */
  passwordMinLength: number
  /** Whether one may be among the first that someone would try. */
  commonPasswords: 'refused' | 'allowed'
}

/**
 * @param name of the account
 * @throws PasswordError if this cannot be the account's new password.
 */
export async function assertNewPassword (password: unknown, name: string, { passwordMinLength, commonPasswords }: PasswordPolicy): Promise<void> {
  assertPassword(password)
  if ([...password].length < passwordMinLength) throw new PasswordError(`A password must have at least ${passwordMinLength} characters.`)
  if (commonPasswords === 'refused' && await isCommonPassword(password, name)) {
    throw new PasswordError('This password is too easy to guess: it is a common one, a row of keys, a repetition, or little more than the name.')
  }
}

/** @throws PasswordError if this cannot be anyone's password. Comes before anything that costs more for a longer one. */
export function assertPassword (password: unknown): asserts password is string {
  if (typeof password !== 'string') throw new PasswordError('The password is missing.')
  if (Buffer.byteLength(password) > LONGEST_BYTES) throw new PasswordError(`A password may have at most ${LONGEST_BYTES} bytes.`)
  if (HALF_CHARACTER.test(password)) throw new PasswordError('A password must be text: half of a surrogate pair is no character.')
}

/**
 * The argon2id hash of a password, as a PHC string with its own salt.
 *
 * @param isFamiliar whether it has the places of known devices, and goes before all others.
 * @throws BusyError before hashing, when too many wait.
 */
export function hashPassword (password: string, isFamiliar = false): Promise<string> {
  return queued(() => hash(normal(password), ARGON2ID), isFamiliar)
}

/**
 * Whether the password is the one behind the hash. With null, for a name that nobody has, it takes as long and is
 * false: the time must not tell which names exist.
 *
 * @param isFamiliar as with {@link hashPassword}
 * @throws BusyError before hashing, when too many wait.
 */
export function verifyPassword (passwordHash: string | null, password: string, isFamiliar = false): Promise<boolean> {
  return queued(async () => {
    if (passwordHash !== null) return await verify(passwordHash, normal(password))
    await hash(normal(password), ARGON2ID)
    return false
  }, isFamiliar)
}

/**
 * Asked by those who are about to wait elsewhere before they come here, with how many do so already.
 *
 * @throws BusyError when too many wait.
 */
export function assertNotBusy (waitingElsewhere = 0, isFamiliar = false): void {
  if (queue.waiting(isFamiliar) + waitingElsewhere >= (isFamiliar ? FAMILIAR_QUEUE : LONGEST_QUEUE)) throw new BusyError()
}

/** Whether a hash was made with less memory or less work than today's. A stronger one, of a later version, is not outdated. */
export function isOutdated (passwordHash: string): boolean {
  const [, memory, passes] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),/.exec(passwordHash)?.map(Number) ?? []
  if (memory === undefined || passes === undefined) return true
  return memory < ARGON2ID.memoryCost || memory * passes < ARGON2ID.memoryCost * ARGON2ID.timeCost
}

/** The same password typed on another keyboard may be other code points. Source: NIST SP 800-63B-4, section 3.1.1.2. */
function normal (password: string): string {
  return password.normalize('NFC')
}

async function queued<T> (work: () => Promise<T>, isFamiliar: boolean): Promise<T> {
  assertNotBusy(0, isFamiliar)
  return await queue.run(work, isFamiliar)
}
