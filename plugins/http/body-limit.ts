/** The longest body of a form, in bytes: much more than names, three long passwords and an address need. */
export const BODY_LIMIT = 16_384
