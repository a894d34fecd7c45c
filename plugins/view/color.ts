type Rgb = readonly [red: number, green: number, blue: number]

/** The contrast that text needs. Source: WCAG 2.2, 1.4.3 (AA). */
const LEAST_CONTRAST = 4.5
const STEP = 0.02

/** Finds the color of the text on a color: white, or black where white has too little contrast. One of them has enough on any color. */
export function textColorOn (color: string): '#fff' | '#000' {
  return contrast(rgbOf(color), rgbOf('#fff')) >= LEAST_CONTRAST ? '#fff' : '#000'
}

/** Mixes a color with black or white until it can be read as text on a paper of this color. */
export function readableOn (paper: string, color: string): string {
  const [from, on] = [rgbOf(color), rgbOf(paper)]
  const to = rgbOf(textColorOn(paper))
  for (let share = 0; share < 1; share += STEP) {
    const mixed = mix(from, to, share)
    if (contrast(mixed, on) >= LEAST_CONTRAST) return hexOf(mixed)
  }
  return hexOf(to)
}

/** The ratio of the brightness of two colors. Source: WCAG 2.2, "contrast ratio". */
function contrast (one: Rgb, other: Rgb): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}

function luminance ([red, green, blue]: Rgb): number {
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

function linear (value: number): number {
  const share = value / 255
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
}

function mix (from: Rgb, to: Rgb, share: number): Rgb {
  const one = (i: 0 | 1 | 2): number => Math.round(from[i] + (to[i] - from[i]) * share)
  return [one(0), one(1), one(2)]
}

/** @param color three or six hexadecimal digits after a `#` */
function rgbOf (color: string): Rgb {
  const long = color.length === 4 ? color.replace(/[^#]/g, '$&$&') : color
  const one = (at: number): number => parseInt(long.slice(at, at + 2), 16)
  return [one(1), one(3), one(5)]
}

function hexOf (color: Rgb): string {
  return `#${color.map((value) => value.toString(16).padStart(2, '0')).join('')}`
}
