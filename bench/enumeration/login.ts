import type { Agent } from 'node:http'
import { Client, type Answer } from '../../test/clients/client.js'

export const ATTACKERS = 500
export const RIGHT = 'correct horse battery'
export const WRONG = 'staple of something else'

export function login (port: number, agent: Agent, name: string, password: string): Promise<Answer> {
  return clientOf(port, agent).send({ method: 'POST', url: '/login', payload: { client_name: name, password } })
}

export function clientOf (port: number, agent: Agent): Client {
  return new Client(`http://127.0.0.1:${port}`, { agent })
}
