/** How long strings may be, tried one after another until the line is short enough. */
const LONGEST_STRINGS = [1_024, 256, 64]
/** What is left of a line that has too much in it. */
const ESSENTIAL = ['level', 'time', 'pid', 'hostname', 'reqId', 'event', 'msg']

/**
 * A line of the log that is at most so long, with its line break. Of a longer one the strings are cut, and if that does not do,
 * all but a few fields are left out: it stays one JSON object.
 */
export function boundedLine (line: string, mostBytes: number): string {
  // Most are far from it: no character of UTF-16 takes more than three bytes.
  if (line.length * 3 <= mostBytes || Buffer.byteLength(line) <= mostBytes) return line
  const record = parsed(line)
  for (const longest of LONGEST_STRINGS) {
    const text = cut(record, longest)
    if (Buffer.byteLength(text) <= mostBytes) return text
  }
  return cut(Object.fromEntries(ESSENTIAL.map((field) => [field, record[field]])), Math.min(...LONGEST_STRINGS))
}

function cut (record: Record<string, unknown>, longest: number): string {
  return `${JSON.stringify(record, (_field, value: unknown) => typeof value === 'string' && value.length > longest ? `${value.slice(0, longest)}…` : value)}\n`
}

function parsed (line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { msg: line }
  }
}
