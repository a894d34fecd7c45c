import fc from 'fast-check'
import type { CallName, CallStep, Step } from './call-model.js'
import type { Plan, Program, Sequence } from './call-stage.js'

const user = fc.constantFrom('Harry', 'Sally')
const call: fc.Arbitrary<CallStep> = fc.record({
  do: fc.constant('call' as const),
  call: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<CallName>('save', 'login', 'logout', 'regenerate') },
    { weight: 1, arbitrary: fc.constantFrom<CallName>('destroy', 'reload', 'flashes') }
  ),
  how: fc.constantFrom('await', 'catch', 'leave', 'later'),
  user,
  withData: fc.boolean(),
  keys: fc.constantFrom('none', 'some', 'all')
})
const value = fc.constantFrom('1', '2')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: call },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('set' as const), key: fc.constantFrom('apple', 'pear'), value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('push' as const), value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom('apple', 'list') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pop' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('permanent' as const), value: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flash' as const), text: value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pause' as const) }) }
)
const program: fc.Arbitrary<Program> = fc.record({
  answer: fc.oneof(
    { weight: 4, arbitrary: fc.constant('value' as const) },
    { weight: 3, arbitrary: fc.constantFrom('send' as const, 'hijack' as const) },
    { weight: 1, arbitrary: fc.constantFrom('throw' as const, 'web' as const, 'stream' as const) }
  ),
  hijacksFirst: fc.boolean(),
  before: fc.array(step, { maxLength: 6 }),
  after: fc.array(step, { maxLength: 3 })
})
const at = fc.nat(5)
const plan: fc.Arbitrary<Plan> = fc.record({
  program,
  fault: sometimes(1, fc.record({ at, acts: fc.boolean(), lasts: fc.boolean() })),
  elsewhere: sometimes(3, fc.record({ at, what: fc.constantFrom('logout', 'revoke'), user: fc.constant('Harry'), isAfter: fc.boolean() })),
  keepsFormer: fc.boolean()
})
/** A visitor and one or two requests of that visitor. */
export const sequence: fc.Arbitrary<Sequence> = fc.record({
  visitor: fc.constantFrom('nobody', 'anonymous', 'Harry', 'two tickets', 'dead ticket'),
  requests: fc.array(plan, { minLength: 1, maxLength: 2 })
})

/** Null, `weight` times as often as a value. */
function sometimes<T> (weight: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight, arbitrary: fc.constant(null) }, { weight: 1, arbitrary })
}
