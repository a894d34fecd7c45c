/** Fields of a session that begin so are hatcheck's own: no handler sees or sets them. */
export const OWN_PREFIX = 'hatcheck:'
