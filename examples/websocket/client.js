// A client for the terminal: node client.js http://127.0.0.1:3000
import { once } from 'node:events'
import { WebSocket } from 'ws'

const url = new URL(process.argv[2])
const { besidePort } = await (await fetch(url)).json()
const routeUrl = `ws://${url.host}/cart`
const besideUrl = `ws://${url.hostname}:${besidePort}`

console.log('without a login, the route answers', await new Promise((resolve) => {
  new WebSocket(routeUrl).once('unexpected-response', (_request, response) => { resolve(response.statusCode) })
}))
const [code] = await once(new WebSocket(besideUrl), 'close')
console.log('without a login, the server beside closes with', code)

const login = await fetch(new URL('/login', url), { method: 'POST', redirect: 'manual', body: new URLSearchParams({ client_name: 'Harry', password: 'correct horse battery' }) })
const cookie = login.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ')

const route = new WebSocket(routeUrl, { headers: { cookie } })
await once(route, 'open')
for (const item of ['apple', 'pear']) {
  route.send(item)
  console.log('route:', String((await once(route, 'message'))[0]))
}
const beside = new WebSocket(besideUrl, { headers: { cookie } })
console.log('beside:', String((await once(beside, 'message'))[0]))

const closed = Promise.all([once(route, 'close'), once(beside, 'close')])
await fetch(new URL('/logout', url), { method: 'POST', redirect: 'manual', headers: { cookie } })
console.log('after the logout:', (await closed).map(([code]) => code).join(' and '))
