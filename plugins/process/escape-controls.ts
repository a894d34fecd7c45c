/**
 * Characters that JSON leaves in its strings, though a terminal may obey them (DEL, and C1 such as U+009B, which begins an escape
 * sequence), or a program may take them for the end of a line (U+0085, U+2028, U+2029).
 */
const CONTROLS = /[\u007f-\u009f\u2028\u2029]/g

/** Writes such characters of a JSON text as escapes, which mean the same. */
export function escapeControls (text: string): string {
  return text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
