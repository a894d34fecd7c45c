/** Texts that programs often mistake for something else, or cannot store. */
export const ODD_TEXTS = ['', ' ', 'undefined', '__proto__', 'constructor', '\0', '\u0001\u001f\u007f', '\r\nSet-Cookie: a=b', '"\'\\`', '</script>', '\u2028\u2029', '\uFEFF', 'é'.normalize('NFD'), '😀', '\ud83d', '\ude00\ud83d', 'a\ud800b', '\u202Etxt', 'Ω≈ç√', '١٢٣', '$' + '{1+1}', '{{7*7}}', '%00', '1e1000', '-0']

/** Writes a text in ASCII, so that the report of a test is readable. */
export function visible (text: string): string {
  return JSON.stringify(text).replace(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
