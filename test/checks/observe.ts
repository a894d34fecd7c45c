import type { ServerResponse } from 'node:http'

export interface Observer {
  head (headers: Record<string, unknown>): void
  chunk (text: string): void
  end? (): void
}

/** Reports each answer from below Fastify, independently of hooks and errors on the way. */
export function observe (raw: ServerResponse, observer: Observer): void {
  const { writeHead, write, end } = raw
  const show = (chunk: unknown): void => {
    if (typeof chunk === 'string' || Buffer.isBuffer(chunk)) observer.chunk(String(chunk))
  }
  raw.writeHead = function (this: typeof raw, ...args: unknown[]) {
    observer.head(args.at(-1) as Record<string, unknown>)
    return writeHead.apply(this, args as never)
  } as typeof writeHead
  raw.write = function (this: typeof raw, ...args: unknown[]) {
    show(args[0])
    return write.apply(this, args as never)
  } as typeof write
  raw.end = function (this: typeof raw, ...args: unknown[]) {
    show(args[0])
    observer.end?.()
    return end.apply(this, args as never)
  } as typeof end
}
