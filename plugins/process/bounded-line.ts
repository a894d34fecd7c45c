import { escapeControls } from './escape-controls.js'

/** The lengths, in characters, to which strings are cut: one after another until the line is short enough. */
const LONGEST_STRINGS = [1_024, 256, 64]
/** The fields that are kept when cutting strings is not enough. */
const ESSENTIAL = ['level', 'time', 'pid', 'hostname', 'reqId', 'event', 'msg']

/**
 * Bounds a line of the log, with its line break, to a number of bytes, and escapes its control characters. Cuts the strings of a
 * longer line; if that is not enough, drops all but a few fields. The line stays one JSON object.
 */
export function boundedLine (sent: string, mostBytes: number): string {
  const line = escapeControls(sent)
  // A UTF-16 unit takes at most three bytes, so most lines need no count of their bytes.
  if (line.length * 3 <= mostBytes || Buffer.byteLength(line) <= mostBytes) return line
  const record = parsed(line)
  for (const longest of LONGEST_STRINGS) {
    const text = cut(record, longest)
    if (Buffer.byteLength(text) <= mostBytes) return text
  }
  return cut(Object.fromEntries(ESSENTIAL.map((field) => [field, record[field]])), Math.min(...LONGEST_STRINGS))
}

function cut (record: Record<string, unknown>, longest: number): string {
  return `${escapeControls(JSON.stringify(record, (_field, value: unknown) => typeof value === 'string' && value.length > longest ? `${value.slice(0, longest)}…` : value))}\n`
}

function parsed (line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { msg: line }
  }
}
