import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that systems give to a `PORT=0` and to outgoing connections, which other processes take at any moment, and above
 * 10080, to which `fetch` and browsers refuse to connect. Source: Fetch Standard, "Port blocking".
 */
const LOWEST = 10_081
const COUNT = 20_000
const MAX_TRIES = 100

/** Returns a port of 127.0.0.1 on which no process listens, and that no other process gets from this function while this one runs. */
export async function freePort (): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = LOWEST + Math.floor(Math.random() * COUNT)
    if (await reserve(port) && await isFree(port)) return port
  }
  throw new Error('no free port found')
}

/**
 * Reserves a port until this process ends; resolves to false if another process has. UDP has ports of its own, so that a socket
 * there keeps the number without taking the port from a server.
 */
async function reserve (port: number): Promise<boolean> {
  const socket = createSocket('udp4').unref()
  return await opens(socket, () => { socket.bind({ port, address: '127.0.0.1', exclusive: true }) })
}

async function isFree (port: number): Promise<boolean> {
  const server = createServer()
  if (!await opens(server, () => { server.listen(port, '127.0.0.1') })) return false
  server.close()
  await once(server, 'close')
  return true
}

async function opens (listener: NodeJS.EventEmitter, open: () => void): Promise<boolean> {
  const listening = once(listener, 'listening')
  open()
  return await listening.then(() => true, () => false)
}
