/** Returns the name of an option as its author writes it. */
export type NameOf = (option: string) => string

/** Names the environment variable of an option: `secretKey` → `SECRET_KEY`. */
export function environmentName (option: string): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}
