/** What the load generator reads of a response. */
export interface Response {
  status: number
  /** The status line and the headers. */
  head: string
  bodyBytes: number
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')
const LAST_CHUNK = Buffer.from('0\r\n\r\n')

/** Reads a response; null while it is not complete. Nothing may follow it. */
export function readResponse (data: Buffer): Response | null {
  const end = data.indexOf(END_OF_HEAD)
  if (end === -1) return null
  const head = data.toString('latin1', 0, end)
  const status = Number(head.slice(9, 12))
  const bodyBytes = data.length - end - END_OF_HEAD.length
  return isComplete(status, head, data, bodyBytes) ? { status, head, bodyBytes } : null
}

function isComplete (status: number, head: string, data: Buffer, bodyBytes: number): boolean {
  if (status === 204 || status === 304) return true
  const length = /\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return bodyBytes >= Number(length)
  if (/\ntransfer-encoding: *chunked/i.test(head)) return data.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)
  throw new Error(`a response without a length: ${head}`)
}
