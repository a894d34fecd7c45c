import { test } from 'tap'
import { attacks } from '../simulation/attacks.js'
import { simulate } from '../simulation/simulation.js'

test('during every attack nearly all users log in at the first or second attempt', async (t) => {
  for (const [name, attack] of Object.entries(attacks)) {
    await t.test(name, async (t) => {
      const { groups, guesses, mostForOne } = await simulate(attack, { users: 200, hours: 0.5, seed: 1 })
      const [known, strange] = [groups['newcomer, known network'], groups['newcomer, new network']]
      const devices = groups['known device']
      t.ok(devices.in >= 0.99 * devices.logins, `${devices.in} of ${devices.logins} known devices`)
      t.ok(known.in + strange.in >= 0.9 * (known.logins + strange.logins), `${known.in + strange.in} of ${known.logins + strange.logins} newcomers`)
      t.ok(strange.in >= 0.85 * strange.logins, `${strange.in} of ${strange.logins} of these on a new network`)
      t.ok(mostForOne <= 90, `${guesses} guesses, ${mostForOne} for one account`)
    })
  }
})
