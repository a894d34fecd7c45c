import type { FastifyInstance } from 'fastify'
import { mock } from 'node:test'
import { test } from 'tap'
import { ANSWERS } from './apps/answers-by-operation.js'
import { CREDENTIALS, MOST, REQUESTS, stage, withHeaders } from './apps/scene.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client, logIn, type Answer, type Headers, type Sending } from './clients/client.js'
import { flawsOfPage } from './clients/page-flaws.js'
import { times } from './helper.js'
import { pageAt } from './pages/pages.js'
import { beLate } from './time/calm-loop.js'

interface Document {
  paths: Record<string, Record<string, { operationId: string, responses: Record<string, object> }>>
  components: { responses: Record<string, object> }
}

const JSON_BODY = { 'content-type': 'application/json' }
const MANY_LINES = Object.fromEntries(times(1_001, (i) => [`x-${i}`, '1']))
const ELSEWHERE = 'https://evil.example'

/** What may be wrong with a request, whatever its operation. Where it does not matter, the answer is another one. */
const FLAWS: Record<string, (request: Sending) => Sending> = {
  nothing: (request) => request,
  'an invalid host': (request) => withHeaders(request, { host: 'a b' }),
  'another transfer coding': (request) => withHeaders(request, { 'transfer-encoding': 'gzip, chunked' }),
  'another machine, in demo mode': (request) => withHeaders(request, { host: 'hatcheck.example' }),
  'another site': (request) => withHeaders(request, { origin: ELSEWHERE }),
  'a handshake from another site': (request) => withHeaders(request, { origin: ELSEWHERE, upgrade: 'websocket' }),
  'JSON that is none': (request) => ({ ...withHeaders(request, JSON_BODY), payload: '{' }),
  'a wrong length': (request) => ({ ...withHeaders(request, { ...JSON_BODY, 'content-length': '99' }), payload: '{}' }),
  'a body that is too large': (request) => ({ ...withHeaders(request, JSON_BODY), payload: JSON.stringify('x'.repeat(4 * MOST)) }),
  'another media type': (request) => ({ ...withHeaders(request, { 'content-type': 'text/plain' }), payload: 'hello' }),
  'a content coding': (request) => ({ ...withHeaders(request, { ...JSON_BODY, 'content-encoding': 'gzip' }), payload: '{}' }),
  'an address that cannot be decoded': (request) => ({ ...request, url: `${request.url}%zz` }),
  'an address that is too long': (request) => ({ ...request, url: `${request.url}${'x'.repeat(101)}` })
}

/** Operations that no application has. */
const OF_THE_SERVICE = ['checkHealth', 'checkReadiness', 'getOpenApi', 'getSession', 'getSessionValue', 'setSessionValue', 'popSessionValue', 'whoAmI']
/** Operations whose path ends in a parameter. */
const WITH_PARAMETER = ['endSession', 'getSessionValue', 'setSessionValue', 'popSessionValue']

test('every documented answer happens, and every answer is documented', { timeout: 120_000 }, async (t) => {
  const scenes = stage(t)
  const { begin, beginHost } = scenes({})
  const document = JSON.parse((await (await begin()).fastify.inject('/openapi.json')).body) as Document
  const documented = documentedIn(document)
  const seen = new Set<string>()

  /** Sends a request as a program and as a browser, and returns both answers; that to a browser only if it is no error. */
  async function see (operation: string, send: (as: Headers) => Promise<Answer>): Promise<string[]> {
    const [asProgram, asBrowser] = [await send(AS_PROGRAM), await send(AS_BROWSER)]
    const answers = [asProgram, asBrowser].slice(0, asBrowser.statusCode < 400 ? 2 : 1).map((answer) => answerOf(operation, answer))
    for (const answer of answers) seen.add(answer)
    if (asBrowser.statusCode >= 400) {
      t.equal(asBrowser.statusCode, asProgram.statusCode, `${answers[0]}, for a browser`)
      t.strictSame(flawsOfPage(asBrowser), [], `${answers[0]}, for a browser`)
    }
    return answers
  }

  /** Sends the requests of all operations, each as it is returned here. */
  async function seeAll (target: FastifyInstance | string, requestOf: (operation: string, request: Sending) => Sending): Promise<void> {
    for (const [operation, request] of Object.entries(REQUESTS)) {
      await see(operation, async (as) => await new Client(target).send(withHeaders(requestOf(operation, request), as)))
    }
  }

  const [{ fastify }, application] = [await begin(), await beginHost({ prefix: '/auth' })]
  for (const [operation, request] of Object.entries(REQUESTS)) {
    const user = (await (await begin()).logIn()).client
    for (const [flaw, spoil] of Object.entries(FLAWS)) {
      if (flaw.startsWith('an address') && !WITH_PARAMETER.includes(operation)) continue
      await see(operation, async (as) => await new Client(fastify).send(withHeaders(spoil(request), as)))
      if (flaw !== 'nothing') await see(operation, async (as) => await user.send(withHeaders(spoil(request), { ...as, cookie: user.cookieHeader })))
    }
    if (!OF_THE_SERVICE.includes(operation)) await see(operation, async (as) => await application.client.send(withHeaders({ ...request, url: `/auth${request.url}` }, { ...MANY_LINES, ...as })))
  }

  const { fastify: broken } = await begin({})
  const cookies: Record<string, string> = {}
  for (const operation of Object.keys(REQUESTS)) cookies[operation] = await logIn(broken, CREDENTIALS.client_name, CREDENTIALS.password)
  for (const call of ['read', 'ping'] as const) broken.sessions.store[call] = () => { throw new Error('the disk is gone') }
  await seeAll(broken, (operation, request) => withHeaders(request, { cookie: cookies[operation] }))

  const url = await fastify.listen({ host: '127.0.0.1', port: 0 })
  await seeAll(url, (_operation, request) => ({ ...request, url: request.url.replace('/', '*') }))

  for (const [operation, answers] of Object.entries(ANSWERS)) {
    for (const [answer, way] of Object.entries(answers)) {
      const found = await see(operation, async (as) => {
        const { begin, beginHost } = scenes(as)
        return await way(begin, beginHost)
      })
      t.ok(found.includes(`${operation} ${answer}`), `${operation} ${answer}`, { found })
    }
  }

  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const { fastify: late } = await begin({})
  beLate(t)
  mock.timers.tick(1_000)
  await seeAll(late, (_operation, request) => request)

  const page = pageAt('docs/errors.md')
  const codes = new Set([...documented].flatMap((answer) => answer.split(' ')[2] ?? []))
  t.strictSame([...codes].filter((code) => !page.includes(`\`${code}\``)), [], 'codes that docs/errors.md does not explain')
  t.strictSame([...documented].filter((answer) => !seen.has(answer)).sort(), [], 'documented answers that did not happen')
  t.strictSame([...seen].filter((answer) => !documented.has(answer)).sort(), [], 'answers that are not documented')
})

/** Lists every documented answer, such as `logIn 401 HATCHECK_WRONG_CREDENTIALS`. A 500 is a fault of the program, which any operation may have. */
function documentedIn ({ paths, components }: Document): Set<string> {
  const resolve = (response: { $ref?: string }): object => response.$ref === undefined ? response : components.responses[response.$ref.split('/').at(-1) ?? ''] as object
  return new Set(Object.values(paths).flatMap((operations) => Object.values(operations)).flatMap(({ operationId, responses }) =>
    Object.entries(responses).filter(([status]) => status !== '500').flatMap(([status, response]) => {
      const codes = /"enum":(\["(?:HATCHECK|FST)_[^\]]*\])/.exec(JSON.stringify(resolve(response)))?.[1]
      return codes === undefined ? [`${operationId} ${status}`] : (JSON.parse(codes) as string[]).map((code) => `${operationId} ${status} ${code}`)
    })))
}

function answerOf (operation: string, { statusCode, headers, json }: Answer): string {
  const isProblem = String(headers['content-type']).startsWith('application/problem+json')
  return [operation, statusCode, ...isProblem ? [json<{ code: string }>().code] : []].join(' ')
}
