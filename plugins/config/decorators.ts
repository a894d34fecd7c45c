import { DECORATIONS, FIXED_NAMES, type Decoration } from '../common/decorators.js'
import { assertRule, shown } from '../common/rule.js'

/** The form of the option `decorators`. */
export const DECORATORS_FORM = "an object of names, such as { user: 'account', login: false }; false leaves a name out"

const ALL = Object.keys(DECORATIONS) as Decoration[]

/** The names that are taken: false where a decoration is left out. */
type Names = Record<Decoration, string | false>

/**
 * Fills in the default names.
 *
 * @throws ConfigError
 */
export function decoratorsOf (given: unknown = {}): Names {
  const rule = `decorators must be ${DECORATORS_FORM}`
  assertRule(typeof given === 'object' && given !== null && !Array.isArray(given), `${rule}; got ${shown(given)}.`)
  const chosen = Object.entries(given).filter(([, name]) => name !== undefined)
  for (const [decoration, name] of chosen) {
    assertRule(Object.hasOwn(DECORATIONS, decoration), `${rule}; there is no ${shown(decoration)} among ${ALL.join(', ')}.`)
    assertRule(name === false || (typeof name === 'string' && /^[A-Za-z_$][\w$]*$/.test(name)), `${rule}; got ${shown(name)} for ${decoration}.`)
  }
  const names = { ...Object.fromEntries(ALL.map((decoration) => [decoration, decoration])), ...Object.fromEntries(chosen) } as Names
  for (const owner of ['request', 'instance'] as const) {
    const taken = new Set<string | false>(FIXED_NAMES[owner])
    for (const decoration of ALL.filter((decoration) => DECORATIONS[decoration] === owner)) {
      const name = names[decoration]
      assertRule(name === false || !taken.has(name), `decorators must have different names for what is on one ${owner}; ${shown(name)} is there twice.`)
      taken.add(name)
    }
  }
  return names
}
