/** Characters that Python writes as an escape sequence. */
const ESCAPED = /[^ !#-[\]-~]/g
const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'], ['\\', '\\\\'], ['\b', '\\b'], ['\f', '\\f'], ['\n', '\\n'], ['\r', '\\r'], ['\t', '\\t']
])

/** Writes a string as Python's `json` does: in ASCII. */
export function pythonString (text: string): string {
  return `"${text.replace(ESCAPED, (unit) => SHORT_ESCAPES.get(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
}

/** Python writes numbers from this power of ten on, and below the other one, with an exponent. */
const MAX_EXPONENT = 16
const MIN_EXPONENT = -4

/**
 * Writes a number as Python's `json` does. An integer that JavaScript holds exactly is an `int` of Python, any other number a
 * `float`.
 */
export function pythonNumber (number: number): string {
  if (Number.isSafeInteger(number)) return String(number)
  const [digits = '', power = ''] = number.toExponential().split('e')
  const exponent = Number(power)
  if (exponent < MIN_EXPONENT || exponent >= MAX_EXPONENT) {
    return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  return Number.isInteger(number) ? `${number}.0` : String(number)
}

/** Sorts keys as Python does: by code points. JavaScript's own order is by UTF-16 units. */
export function comparePythonStrings (a: string, b: string): number {
  for (let at = 0; ;) {
    const [left, right] = [a.codePointAt(at), b.codePointAt(at)]
    if (left === undefined || right === undefined) return a.length - b.length
    if (left !== right) return left - right
    at += left > 0xffff ? 2 : 1
  }
}
