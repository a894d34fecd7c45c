/** A value that JSON has. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** A part of a cookie, as Flask wrote it and as hatcheck reads it. */
export type Meaning =
  | { readonly kind: 'scalar', readonly value: Json }
  | { readonly kind: 'list' | 'tuple', readonly items: readonly Source[], readonly value: Json }
  | { readonly kind: 'dict', readonly members: ReadonlyMap<string, Source>, readonly value: Json }

/** A value as Flask has written it. It keeps its text, so that an unchanged value goes back as it was. */
export type Source = Meaning & { readonly text: string }

export function listOf (kind: 'list' | 'tuple', items: readonly Source[]): Meaning {
  return { kind, items, value: items.map(({ value }) => value) }
}

export function dictOf (members: ReadonlyMap<string, Source>): Meaning {
  // `__proto__` is a key like any other here.
  return { kind: 'dict', members, value: Object.fromEntries([...members].map(([key, { value }]) => [key, value])) }
}
