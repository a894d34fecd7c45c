import formbody from '@fastify/formbody'
import Fastify from 'fastify'
import hatcheck, { refuseCrossOrigin, requireLogin } from 'hatcheck'
import { page, text } from './page.js'

const THEMES = ['light', 'dark']

const app = Fastify({ logger: true })
app.register(formbody)
app.register(hatcheck, {
  secretKey: process.env.SECRET_KEY,
  routes: ['login', 'logout', 'sessions', 'password'],
  // A login with a new name creates the account. Without this, accounts come from "npx hatcheck user add".
  signup: 'open'
})

app.get('/', async (request, reply) => {
  const { session, user } = request
  const cart = session.cart ?? []
  return page(reply, session.theme, 'Shop', `
    <nav>${user === null ? '<a href="/login">Log in</a>' : `${text(user.name)} · <a href="/sessions">My sessions</a> · <a href="/logout">Log out</a>`}</nav>
    <h1>Your cart</h1>
    <ul>${cart.map((item) => `<li>${text(item)}</li>`).join('') || '<li>is empty</li>'}</ul>
    <form method="post" action="/cart"><input name="item" aria-label="Item" required maxlength="40"> <button>Add</button></form>
    <form method="post" action="/theme">${THEMES.map((theme) => `<button name="theme" value="${theme}">${theme}</button>`).join(' ')}</form>
    <p><a href="/checkout">Check out</a></p>`)
})

app.post('/cart', { onRequest: refuseCrossOrigin }, async ({ session, body }, reply) => {
  session.cart ??= []
  session.cart.push(String(body?.item).slice(0, 40))
  return reply.redirect('/', 303)
})

app.post('/theme', { onRequest: refuseCrossOrigin }, async ({ session, body }, reply) => {
  if (THEMES.includes(body?.theme)) session.theme = body.theme
  return reply.redirect('/', 303)
})

app.get('/checkout', { onRequest: requireLogin }, async ({ session, user }, reply) => {
  return page(reply, session.theme, 'Checkout', `
    <h1>Checkout</h1>
    <p>${text(user.name)}, you have ${session.cart?.length ?? 0} to pay.</p>
    <form method="post" action="/checkout"><button>Order</button> <a href="/">Back to the shop</a></form>`)
})

app.post('/checkout', { onRequest: [refuseCrossOrigin, requireLogin] }, async ({ session, user }, reply) => {
  const cart = session.pop('cart', [])
  return page(reply, session.theme, 'Thank you', `<h1>Thank you, ${text(user.name)}</h1><p>${cart.length} ordered.</p><p><a href="/">Back to the shop</a></p>`)
})

await app.listen({ port: Number(process.env.PORT ?? 3000) })
