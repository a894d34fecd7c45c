import formbody from '@fastify/formbody'
import Fastify from 'fastify'
import hatcheck, { WrongCredentialsError, nextPageOf, refuseCrossOrigin, requireLogin } from 'hatcheck'
import { page, text } from './page.js'
import { checkPassword } from './users.js'

const app = Fastify({ logger: true })
app.register(formbody)
app.register(hatcheck, {
  secretKey: process.env.SECRET_KEY,
  authenticate: checkPassword,
  // requireLogin leads a browser to this page.
  loginPath: '/sign-in',
  afterLogin: '/account'
})

app.get('/', async ({ user }, reply) => reply.redirect(user === null ? '/sign-in' : '/account', 303))

app.get('/sign-in', async (request, reply) => signInPage(request, reply))

app.post('/sign-in', { onRequest: refuseCrossOrigin, errorHandler: showInForm }, async (request, reply) => {
  const user = await request.authenticate(request.body?.name, request.body?.password)
  if (user === null) throw new WrongCredentialsError()
  await request.login(user.name, { data: user.data, permanent: request.body.remember === 'on' })
  return reply.redirect(nextPageOf(request), 303)
})

app.post('/sign-out', { onRequest: refuseCrossOrigin }, async (request, reply) => {
  await request.logout()
  return reply.redirect('/sign-in', 303)
})

app.get('/account', { onRequest: requireLogin }, async ({ user }, reply) => {
  return page(reply, 'Your account', `<h1>Hello ${text(user.name)}</h1>
    <p>Signed in since ${new Date(user.authenticatedAt).toISOString()}.</p>
    <form method="post" action="/sign-out"><button>Sign out</button></form>`)
})

/** Shows the form again with the error: a wrong password, a name that breaks a rule, or a wait after failed logins. */
function showInForm (error, request, reply) {
  if (!(error.statusCode < 500)) throw error
  return signInPage(request, reply.code(error.statusCode).headers(error.headers ?? {}), error.message)
}

function signInPage (request, reply, error) {
  return page(reply, 'Sign in', `<h1>Sign in</h1>
    ${error === undefined ? '' : `<p role="alert">${text(error)}</p>`}
    <form method="post" action="/sign-in">
      <input type="hidden" name="next" value="${text(nextPageOf(request))}">
      <label>Name <input name="name" value="${text(request.body?.name ?? '')}" required autocomplete="username"></label>
      <label>Password <input name="password" type="password" required autocomplete="current-password"></label>
      <label class="check"><input name="remember" type="checkbox"> Stay signed in</label>
      <button>Sign in</button>
    </form>`)
}

await app.listen({ port: Number(process.env.PORT ?? 3000) })
