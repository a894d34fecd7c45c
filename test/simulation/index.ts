// Simulates attackers against 1,000 honest users over a day, and prints how many users log in at the first or second attempt.
import { parseArgs } from 'node:util'
import { integer, readCommandLine } from '../../bench/command-line.js'
import { attacks } from './attacks.js'
import { simulate } from './simulation.js'

const options = readCommandLine('npm run simulate -- [--users 1000] [--hours 24] [--seed 1]', () => {
  const { values } = parseArgs({ options: { users: { type: 'string', default: '1000' }, hours: { type: 'string', default: '24' }, seed: { type: 'string', default: '1' } } })
  return { users: integer('--users', values.users), hours: integer('--hours', values.hours), seed: integer('--seed', values.seed, 0) }
})

console.log('| attacker | known devices | newcomers | on a known network | on a new network | guesses | most for one account |')
console.log('| --- | --- | --- | --- | --- | --- | --- |')
for (const [name, attack] of Object.entries(attacks)) {
  const { groups, guesses, mostForOne } = await simulate(attack, options)
  const [device, known, strange] = [groups['known device'], groups['newcomer, known network'], groups['newcomer, new network']]
  const newcomers = { logins: known.logins + strange.logins, in: known.in + strange.in }
  const shares = [device, newcomers, known, strange].map((share) => `${(100 * share.in / share.logins).toFixed(2)} %`)
  console.log(`| ${[name, ...shares, guesses.toLocaleString('en'), mostForOne.toLocaleString('en')].join(' | ')} |`)
}
