import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const hash = promisify(scrypt)

/** Stands in for your database. */
const users = new Map([['Harry', await withHash('correct horse battery')]])

/** Takes the place of an unknown user: the answer then takes as long as for a wrong password, and tells nobody which names exist. */
const nobody = await withHash(randomBytes(32).toString('hex'))

export async function checkPassword (name, password) {
  const user = users.get(name) ?? nobody
  const isRight = timingSafeEqual(await hash(password, user.salt, 32), user.hash)
  return isRight && user !== nobody ? { name } : null
}

async function withHash (password) {
  const salt = randomBytes(16)
  return { salt, hash: await hash(password, salt, 32) }
}
