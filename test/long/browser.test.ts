import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import tap, { test, type Test } from 'tap'
import type { GivenOptions } from '../../plugins/config/options.js'
import { buildHost, needs } from '../helper.js'
import { checkout } from '../processes/child.js'
import { startService } from '../processes/service.js'

// A browser on a busy machine is slow.
tap.setTimeout(800_000)

const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

const PHONE = { screen: 'phone', viewport: { width: 390, height: 844 } } as const
const DESKTOP = { screen: 'desktop', viewport: { width: 1280, height: 800 } } as const

/** The layout depends on the screen and the contrast on the colors: two combinations cover both. All four are for SCREENSHOTS. */
const SCREENS = [
  { ...PHONE, colorScheme: 'light' },
  { ...DESKTOP, colorScheme: 'dark' },
  ...process.env['SCREENSHOTS'] === undefined ? [] : [{ ...PHONE, colorScheme: 'dark' }, { ...DESKTOP, colorScheme: 'light' }] as const
] as const

/** The longest allowed name, with no place to break it. */
const LONG_NAME = 'Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbe'

/** Chromium's own message for a page with an error status; the tests open such pages on purpose. */
const EXPECTED_ERROR = /^Failed to load resource: the server responded with a status of (?:400|401|403|404) /
/** The test is faster than the page of a busy machine, and has a field already. */
const FOCUSED_BEFORE = 'Autofocus processing was blocked'

const EDGE = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'

const WITHIN_MS = 20_000

/** A round logo, and one with the name of the application in it. */
const LOGO = 'data:image/svg+xml,' + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#e60012"/></svg>')
const WIDE_LOGO = 'data:image/svg+xml,' + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 30" width="400" height="30"><rect width="400" height="30" fill="#24556b"/></svg>')

test('the pages work in a browser', needs('chromium'), async (t) => {
  const { url } = await startService(t, t.testdir())
  const browser = await chromium.launch({
    executablePath: execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim(),
    args: ARGS,
    // Playwright disables the back/forward cache, which could show a page again.
    ignoreDefaultArgs: ['--disable-back-forward-cache']
  })
  t.teardown(() => browser.close())

  await t.test('login and logout work by clicking, and each shows a notice', async (t) => {
    await walkThrough(t, await open(t, browser, url), 'Harry')
  })

  await t.test('login and logout work with JavaScript turned off', async (t) => {
    await walkThrough(t, await open(t, browser, url, { javaScriptEnabled: false }), 'Sally')
  })

  await t.test('a wrong password shows the form again, ready for another attempt', async (t) => {
    const page = await open(t, browser, url)
    await logIn(page, 'Harry')
    await logOut(page)
    await logIn(page, 'Harry', 'a wrong password')
    t.equal(await page.getByRole('alert').innerText(), 'The name or the password is wrong.')
    t.equal(await page.getByLabel('Name').inputValue(), 'Harry')
    t.equal(await page.getByLabel('Password').inputValue(), '')
    t.equal(await focused(page), 'password')
    t.same(await cookiesOf(page), [])
    await page.getByLabel('Password').fill('12345678')
    await follow(page, () => page.keyboard.press('Enter'))
    t.equal(await heading(page), 'Harry Your account is logged in.')
  })

  await t.test('a form with an empty field is not sent', async (t) => {
    const page = await open(t, browser, url)
    await page.goto('/login')
    await page.getByLabel('Name').fill('Harry')
    await page.getByRole('button', { name: 'Log in' }).click()
    t.equal(await focused(page), 'password')
    t.equal(new URL(page.url()).pathname, '/login')
    t.equal(await page.getByRole('alert').count(), 0)
  })

  await t.test('a login with "Keep me signed in" outlives the browser, a login without it does not', async (t) => {
    for (const keep of [false, true]) {
      const page = await open(t, browser, url)
      await logIn(page, 'Harry', '12345678', keep)
      const [cookie] = await cookiesOf(page)
      t.match(cookie, { name: 'hatcheck', httpOnly: true, sameSite: 'Lax', path: '/' })
      const state = await page.context().storageState()
      const cookies = state.cookies.filter(({ expires }) => expires !== -1)
      const again = await open(t, browser, url, { storageState: { cookies, origins: [] } })
      await again.goto('/')
      t.equal(await heading(again), keep ? 'Harry Your account is logged in.' : 'You are not logged in')
    }
  })

  await t.test('no script of a page can read the session cookie', async (t) => {
    const page = await open(t, browser, url)
    await logIn(page, 'Harry')
    t.equal(await page.evaluate('document.cookie'), '')
  })

  await t.test('the back button shows nothing private after the logout', async (t) => {
    const page = await open(t, browser, url)
    await logIn(page, 'Harry')
    // At this address the page after the logout does not replace '/' in the cache.
    await page.goto('/?private')
    t.equal(await heading(page), 'Harry Your account is logged in.')
    await logOut(page)
    for (const address of ['/', '/?private', '/']) {
      // A page from the back/forward cache is not loaded again.
      await page.goBack({ waitUntil: 'commit' })
      t.equal(page.url(), `${url}${address}`)
      t.equal(await heading(page), 'You are not logged in')
    }
  })

  await t.test('a login leads to the page that required it, and to no other site', async (t) => {
    for (const [next, path] of [['/login?next=%2Fno%2Fsuch%2Fpage%3Fa%3D1%23b', '/no/such/page?a=1#b'], ['/login?next=https://example.com/', '/'], ['/login?next=%2F%5Cexample.com', '/']] as const) {
      const page = await open(t, browser, url)
      await page.goto(next)
      await fillIn(page, 'Harry', '12345678')
      t.equal(page.url(), `${url}${path}`)
    }
  })

  await t.test('another site can lead a user to the logout confirmation, but cannot log the user out', async (t) => {
    const page = await open(t, browser, url)
    await logIn(page, 'Harry')
    const elsewhere = `<a href="${url}/logout">a link</a>
      <form method="post" action="${url}/logout"><button>a form</button></form>
      <form method="post" action="${url}/login"><input name="client_name" value="Mallory"><input name="password" value="12345678"><button>a login</button></form>`
    const leave = async (): Promise<void> => { await page.goto(`data:text/html,${encodeURIComponent(elsewhere)}`) }

    for (const button of ['a form', 'a login']) {
      await leave()
      await follow(page, () => page.getByRole('button', { name: button }).click())
      t.equal(await heading(page), 'Forbidden')
      await page.goto('/')
      t.equal(await heading(page), 'Harry Your account is logged in.')
    }
    await leave()
    await follow(page, () => page.getByRole('link').click())
    t.equal(await heading(page), 'Log out?')
    await follow(page, () => page.getByRole('button', { name: 'Log out your account here' }).click())
    t.equal(page.url(), `${url}/`)
    t.equal(await heading(page), 'You are not logged in')
  })

  await t.test('a password change logs the other browser out at its next click', async (t) => {
    const [here, there] = [await open(t, browser, url), await open(t, browser, url, { javaScriptEnabled: false })]
    for (const page of [here, there]) await logIn(page, 'Ron')
    await here.goto('/password')
    t.equal(await focused(here), 'current_password')
    await changePassword(here, 'a wrong password', 'another password')
    t.equal(await here.getByRole('alert').innerText(), 'The current password is wrong.')
    t.equal(await focused(here), 'current_password')
    await changePassword(here, '12345678', 'another password', 'anoter password')
    t.equal(await here.getByRole('alert').innerText(), 'The two new passwords are not the same.')
    t.equal(await here.getByLabel('New password', { exact: true }).inputValue(), '')
    await changePassword(here, '12345678', 'another password')
    t.equal(await here.getByRole('status').innerText(), 'Your password has been changed, and all your other sessions have ended.')
    t.equal(await heading(here), 'Ron Your account is logged in.')

    t.equal(await heading(there), 'Ron Your account is logged in.')
    await follow(there, () => there.getByRole('button', { name: 'Log out your account here' }).click())
    t.equal(await heading(there), 'You are not logged in')
    await logIn(there, 'Ron')
    t.equal(await there.getByRole('alert').innerText(), 'The name or the password is wrong.')
    await fillIn(there, 'Ron', 'another password')
    t.equal(await heading(there), 'Ron Your account is logged in.')
    await here.reload()
    t.equal(await heading(here), 'Ron Your account is logged in.')
  })

  await t.test('everything works with the keyboard, and the focus is always visible', async (t) => {
    const page = await open(t, browser, url)
    await page.goto('/')
    await tab(t, page, 'Log in your account here')
    await follow(page, () => page.keyboard.press('Enter'))
    t.equal(await focused(page), 'client_name', 'the first field has the focus')
    await page.keyboard.type('Harry')
    await tab(t, page, 'password')
    await page.keyboard.type('12345678')
    await tab(t, page, 'permanent')
    await page.keyboard.press('Space')
    t.ok(await page.getByLabel('Keep me signed in').isChecked())
    await tab(t, page, 'Log in')
    await follow(page, () => page.keyboard.press('Enter'))
    t.equal(await heading(page), 'Harry Your account is logged in.')
    await tab(t, page, 'Log out your account here')
    await follow(page, () => page.keyboard.press('Enter'))
    t.equal(await heading(page), 'You are not logged in')
  })

  await t.test('a session that is ended on one device is over on the other at its next click', async (t) => {
    const [laptop, phone] = [await open(t, browser, url), await open(t, browser, url, { viewport: { width: 390, height: 844 } })]
    await logIn(laptop, 'Gemma')
    await logIn(phone, 'Gemma')
    await follow(laptop, () => laptop.getByRole('link', { name: 'My sessions' }).click())
    t.equal(await heading(laptop), 'My sessions')
    t.equal(await laptop.getByRole('listitem').count(), 2)
    t.strictSame(await laptop.getByRole('heading', { level: 2 }).allInnerTexts(), ['Chrome on Linux this one', 'Chrome on Linux'])
    t.match(await laptop.getByRole('button', { name: 'End this session' }).evaluate((button) =>
      document.getElementById(button.getAttribute('aria-describedby') ?? '')?.innerText), /Chrome on Linux\s+Last seen .* ago\s+Logged in .* UTC\s+From this machine/)

    await follow(laptop, () => laptop.getByRole('button', { name: 'End this session' }).click())
    t.equal(new URL(laptop.url()).pathname, '/sessions')
    t.equal(await laptop.getByRole('status').innerText(), 'The session has ended.')
    t.equal(await laptop.getByRole('listitem').count(), 1)
    await follow(phone, () => phone.getByRole('link', { name: 'My sessions' }).click())
    t.equal(await heading(phone), 'Log in')
    await fillIn(phone, 'Gemma', '12345678')
    t.equal(new URL(phone.url()).pathname, '/sessions', 'the login leads to the page that was asked for')

    await follow(phone, () => phone.getByRole('button', { name: 'End all other sessions' }).click())
    await laptop.reload()
    t.equal(await heading(laptop), 'Log in')
    await follow(phone, () => phone.getByRole('button', { name: 'Log out' }).click())
    t.equal(await heading(phone), 'You are not logged in')
    t.equal(await phone.getByRole('status').innerText(), 'You are logged out.')
  })

  for (const { screen, ...options } of SCREENS) {
    await t.test(`every page fits a ${screen} in ${options.colorScheme} and is readable`, async (t) => {
      const page = await open(t, browser, url, options)
      const check = async (name: string): Promise<void> => {
        await shoot(page, `${name}-${screen}-${options.colorScheme}`)
        t.same(await flaws(page), [], name)
      }
      await page.goto('/')
      await check('1-home')
      await page.goto('/login')
      await check('2-login')
      await logIn(page, 'Harry')
      await check('3-logged-in')
      await page.goto('/password')
      await check('3a-password')
      await changePassword(page, '12345678', '12345678')
      await check('3b-password-error')
      await page.goto('/no/such/page')
      await check('4-not-found')
      await page.goto(`data:text/html,<a href="${url}/logout">out</a>`)
      await follow(page, () => page.getByRole('link').click())
      await check('5-logout')
      await follow(page, () => page.getByRole('button').click())
      await check('6-logged-out')
      await logIn(page, 'Harry', 'a wrong password', true)
      await check('7-login-error')
      await logIn(page, LONG_NAME)
      await page.goto('/')
      await check('8-long-name')
      await logOut(page)
      await logIn(page, LONG_NAME, 'a wrong password')
      await check('9-long-name-error')
      await logIn(page, `Gemma ${screen} ${options.colorScheme}`, '12345678', true)
      await logIn(await open(t, browser, url, { userAgent: EDGE }), `Gemma ${screen} ${options.colorScheme}`)
      await page.goto('/sessions')
      await shoot(page, `10-sessions-${screen}-${options.colorScheme}`, true)
      t.same(await flaws(page, true), [], 'sessions')
    })
  }

  await t.test('every page fits a phone in every language, with a look of the application', async (t) => {
    const looks = [
      { locale: 'de', colorScheme: 'light', env: { PAGE_TITLE: 'Donaudampfschifffahrtsgesellschaft', PAGE_LOGO: LOGO, PAGE_ACCENT_COLOR: '#ffcc00' } },
      { locale: 'fr', colorScheme: 'dark', env: { PAGE_TITLE: 'Pommes', PAGE_ACCENT_COLOR: '#102a43' } },
      { locale: 'es', colorScheme: 'light', env: { PAGE_LOGO: WIDE_LOGO, PAGE_ACCENT_COLOR: '#f5f5f5' } },
      { locale: 'ja', colorScheme: 'dark', env: { PAGE_LOGO: LOGO, PAGE_TITLE: 'りんご店', PAGE_ACCENT_COLOR: '#e60012' } },
      { locale: 'zh-CN', colorScheme: 'light', env: {} },
      ...process.env['SCREENSHOTS'] === undefined ? [] : [{ locale: 'de', colorScheme: 'dark', env: {} }, { locale: 'ja', colorScheme: 'light', env: {} }] as const
    ] as const
    for (const { locale, colorScheme, env } of looks) {
      const { url, end } = await startService(t, t.testdir(), env)
      const page = await open(t, browser, url, { viewport: PHONE.viewport, colorScheme, locale })
      const check = async (name: string, isList = false): Promise<void> => {
        await shoot(page, `look-${locale}-${colorScheme}-${name}`, isList)
        t.same(await flaws(page, isList), [], `${name} in ${locale}`)
        t.equal(await page.evaluate(() => document.documentElement.lang), locale.slice(0, 2))
        t.same(await flawsInLargeText(page), [], `${name} in ${locale}, in large text`)
      }
      const submit = async (fields: Record<string, string>): Promise<void> => {
        for (const [name, value] of Object.entries(fields)) await page.locator(`input[name=${name}]`).fill(value)
        await follow(page, () => page.locator('main form button').first().click())
      }
      await page.goto('/')
      await check('1-home')
      await page.goto('/login')
      await check('2-login')
      await submit({ client_name: LONG_NAME, password: '12345678' })
      await check('3-logged-in')
      await page.goto('/password')
      await submit({ current_password: '12345678', new_password: '12345678', new_password_again: '12345678' })
      await check('4-password-error', true)
      await page.goto('/no/such/page')
      await check('5-not-found')
      await logIn(await open(t, browser, url, { userAgent: EDGE }), LONG_NAME)
      await page.goto('/sessions')
      await check('6-sessions', true)
      await page.goto(`data:text/html,<a href="${url}/logout">out</a>`)
      await follow(page, () => page.getByRole('link').click())
      await check('7-logout')
      await submit({})
      await page.goto('/login')
      await submit({ client_name: LONG_NAME, password: 'wrong password' })
      await check('8-login-error')
      await end()
    }
  })

  await t.test('the logo and the stylesheet of an application load, from its own origin or another, and nothing else does', async (t) => {
    const cdn = await listening(t, {})
    for (const origin of ['', cdn]) {
      const app = await listening(t, { pageLogo: `${origin}/logo.svg`, pageStylesheet: `${origin}/pages.css`, routes: true, signup: 'open' })
      const context = await browser.newContext({ baseURL: app })
      t.teardown(() => context.close())
      const page = await context.newPage()
      await page.goto('/login')
      t.equal(await page.locator('.brand img').evaluate((image) => image instanceof HTMLImageElement && image.complete ? image.naturalWidth : 0), 24)
      t.equal(await page.locator('.card').evaluate((card) => getComputedStyle(card).borderTopWidth), '7px')
      for (const [tag, attribute] of [['img', 'src'], ['link', 'href']] as const) {
        const blocked = await page.evaluate(async ({ tag, attribute, cdn }) => await new Promise<string>((resolve) => {
          document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => { resolve(violatedDirective) }, { once: true })
          const element = document.createElement(tag)
          if (tag === 'link') element.setAttribute('rel', 'stylesheet')
          element.addEventListener('load', () => { resolve('loaded') })
          element.setAttribute(attribute, `${cdn}/another`)
          document.head.append(element)
        }), { tag, attribute, cdn })
        t.match(blocked, tag === 'img' ? 'img-src' : 'style-src', `another ${tag}`)
      }
    }
  })

  await t.test('a form leads to each other origin that the options name, also through a page that redirects', async (t) => {
    const elsewhere = await listening(t, {})
    const places = { in: `${elsewhere}/logo.svg?in`, out: `${elsewhere}/logo.svg?out` }
    for (const [options, next, out] of [
      [{ afterLogin: places.in, afterLogout: places.out }, '', places.out],
      [{ allowedOrigins: [elsewhere] }, `/authorize?to=${places.in}`, null]
    ] as const) {
      const app = await listening(t, { routes: true, prefix: '/auth', signup: 'open', ...options })
      const context = await browser.newContext({ baseURL: app })
      t.teardown(() => context.close())
      const page = await context.newPage()
      await page.goto(`/auth/login?next=${encodeURIComponent(next)}`)
      await fillIn(page, 'Harry', 'plum tree in winter')
      t.equal(page.url(), places.in)
      await page.goto('/auth/')
      await follow(page, () => page.getByRole('button', { name: 'Log out your account here' }).click())
      t.equal(page.url(), out ?? `${app}/auth/`)
    }
  })

  if (process.env['DOCS_IMAGES'] === '1') {
    await t.test('the pictures in docs/images can be rendered', async (t) => {
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await open(t, browser, url, { viewport: { width: 460, height: 400 }, colorScheme })
        const shootFor = async (name: string): Promise<void> => { await page.locator('main').screenshot({ path: join(checkout, `docs/images/${name}-${colorScheme}.png`) }) }
        await page.goto('/login')
        await shootFor('login')
        const user = `Luna, ${colorScheme}`
        await logIn(await open(t, browser, url, { userAgent: FIREFOX }), user, '12345678', true)
        await logIn(page, user)
        await page.goto('/sessions')
        await page.evaluate(() => {
          for (const time of document.querySelectorAll('time')) time.textContent = time.textContent?.endsWith('UTC') === true ? '24 Nov 2026 08:49 UTC' : '5 minutes ago'
        })
        await shootFor('sessions')
      }
    })
  }

  await t.test('no page violated its content security policy, caused an error or contacted another host', async (t) => {
    t.same(complaints, [])
    // Shows that a violation would be noticed.
    const page = await open(t, browser, url)
    await page.goto('/')
    await page.evaluate(() => { document.body.setAttribute('style', 'color: red') })
    t.match(complaints.join(), 'Content Security Policy')
  })
})

/** An application with hatcheck's pages, which serves a logo and a stylesheet, and redirects to other addresses. */
async function listening (t: Test, options: GivenOptions): Promise<string> {
  const fastify = await buildHost(t, options)
  fastify.get('/logo.svg', async (_request, reply) => reply.type('image/svg+xml').send('<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"/>'))
  fastify.get('/pages.css', async (_request, reply) => reply.type('text/css').send('.card { border-width: 7px }'))
  fastify.get<{ Querystring: { to: string } }>('/authorize', async (request, reply) => reply.redirect(request.query.to))
  return await fastify.listen({ port: 0, host: '127.0.0.1' })
}

/** The errors and policy violations of the pages in this file, and the other hosts that they contacted. */
const complaints: string[] = []

/** A page in its own context, without the cookies of other pages. */
async function open (t: Test, browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ baseURL: url, ...options })
  t.teardown(() => context.close())
  context.setDefaultTimeout(WITHIN_MS)
  const page = await context.newPage()
  page.on('console', (message) => {
    if (!EXPECTED_ERROR.test(message.text()) && !message.text().startsWith(FOCUSED_BEFORE)) complaints.push(`${page.url()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => { complaints.push(`${page.url()}: ${error.message}`) })
  page.on('request', (request) => {
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith('data:')) complaints.push(`${page.url()} asked for ${request.url()}`)
  })
  return page
}

async function walkThrough (t: Test, page: Page, name: string): Promise<void> {
  await page.goto('/')
  t.equal(await heading(page), 'You are not logged in')
  await follow(page, () => page.getByRole('link', { name: 'Log in your account here' }).click())
  await fillIn(page, name, '12345678')
  t.equal(new URL(page.url()).pathname, '/')
  t.equal(await heading(page), `${name} Your account is logged in.`)
  t.equal(await page.getByRole('status').innerText(), 'You are logged in.')
  await page.reload()
  t.equal(await heading(page), `${name} Your account is logged in.`)
  t.equal(await page.getByRole('status').count(), 0, 'the notice is shown once')

  await follow(page, () => page.getByRole('button', { name: 'Log out your account here' }).click())
  t.equal(new URL(page.url()).pathname, '/')
  t.equal(await heading(page), 'You are not logged in')
  t.equal(await page.getByRole('status').innerText(), 'You are logged out.')
  await page.reload()
  t.equal(await page.getByRole('status').count(), 0, 'the notice is shown once')
  t.same((await page.context().cookies()).map(({ name }) => name), ['hatcheck-device'], 'the remaining cookies open nothing')
}

async function logIn (page: Page, name: string, password = '12345678', keep = false): Promise<void> {
  await page.goto('/login')
  await fillIn(page, name, password, keep)
}

async function fillIn (page: Page, name: string, password: string, keep = false): Promise<void> {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Password').fill(password)
  if (keep) await page.getByLabel('Keep me signed in').check()
  await follow(page, () => page.getByRole('button', { name: 'Log in' }).click())
}

async function changePassword (page: Page, current: string, next: string, again = next): Promise<void> {
  await page.getByLabel('Current password').fill(current)
  await page.getByLabel('New password', { exact: true }).fill(next)
  await page.getByLabel('New password, again').fill(again)
  await follow(page, () => page.getByRole('button', { name: 'Change password' }).click())
}

async function logOut (page: Page): Promise<void> {
  await page.goto('/')
  await follow(page, () => page.getByRole('button', { name: 'Log out your account here' }).click())
}

/** Runs an action that leads to another page, and waits for that page. */
async function follow (page: Page, action: () => Promise<void>): Promise<void> {
  const loaded = page.waitForEvent('load')
  await Promise.all([loaded, action()])
}

async function heading (page: Page): Promise<string> {
  return await page.getByRole('heading', { level: 1 }).innerText()
}

/** The session cookies, without those of the notice and the known device. */
async function cookiesOf (page: Page): Promise<Awaited<ReturnType<BrowserContext['cookies']>>> {
  return (await page.context().cookies()).filter(({ name }) => name !== 'hatcheck-notice' && name !== 'hatcheck-device')
}

/** The focused element: the name of a field, the text of anything else. */
async function focused (page: Page): Promise<string> {
  return await page.evaluate(() => {
    const element = document.activeElement
    return element instanceof HTMLInputElement ? element.name : element?.textContent ?? ''
  })
}

/** Presses Tab, which must move the focus there, visibly. */
async function tab (t: Test, page: Page, expected: string): Promise<void> {
  await page.keyboard.press('Tab')
  t.equal(await focused(page), expected)
  const outline = await page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement as Element)
    return outlineStyle === 'none' ? 0 : parseFloat(outlineWidth)
  })
  t.ok(outline >= 2, `the focus on "${expected}" can be seen`)
}

async function shoot (page: Page, name: string, fullPage = false): Promise<void> {
  const folder = process.env['SCREENSHOTS']
  if (folder === undefined) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage })
}

/** Lists what makes a page wider than the smallest screen, for a user whose text is twice as large. */
async function flawsInLargeText (page: Page): Promise<string[]> {
  await page.setViewportSize({ width: 320, height: 640 })
  await page.evaluate(() => { document.documentElement.style.fontSize = '200%' })
  const found = (await flaws(page, true)).filter((flaw) => /px wide|sticks out|overflows/.test(flaw))
  await page.evaluate(() => { document.documentElement.style.fontSize = '' })
  await page.setViewportSize(PHONE.viewport)
  return found
}

/**
 * Lists what makes a page hard to use: it scrolls sideways, or an element sticks out, is too small to touch (44 px) or has too
 * little contrast (text 4.5, the edge of a field 3). Source: WCAG 2.2, 1.4.3, 1.4.10, 1.4.11, 2.5.5.
 *
 * @param isList whether the page may be longer than the screen
 */
async function flaws (page: Page, isList = false): Promise<string[]> {
  return await page.evaluate((isList) => {
    const found: string[] = []
    const root = document.documentElement
    if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} px wide on a screen of ${root.clientWidth}`)
    if (!isList && root.scrollHeight > root.clientHeight) found.push(`the page is ${root.scrollHeight} px high on a screen of ${root.clientHeight}`)
    for (const element of document.querySelectorAll('main, main *')) {
      if (element.closest('svg') !== null || (element instanceof HTMLInputElement && (element.type === 'hidden' || element.hidden))) continue
      const box = element.getBoundingClientRect()
      if (box.left < 0 || box.right > root.clientWidth) found.push(`${nameOf(element)} sticks out of the screen`)
      if (!(element instanceof HTMLInputElement) && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) found.push(`${nameOf(element)} overflows`)
    }
    for (const target of document.querySelectorAll('button, .button, input:not([type=checkbox], [type=hidden], [hidden]), label.check')) {
      const { height } = target.getBoundingClientRect()
      if (height < 44) found.push(`${nameOf(target)} is ${height} px high`)
    }
    const text = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (text.nextNode() !== null) {
      const element = text.currentNode.parentElement as Element
      if (text.currentNode.textContent?.trim() === '' || element.getClientRects().length === 0) continue
      expectContrast(element, getComputedStyle(element).color, element, 4.5)
    }
    for (const field of document.querySelectorAll('input:not([type=checkbox], [type=hidden], [hidden])')) {
      expectContrast(field, getComputedStyle(field).color, field, 4.5)
      expectContrast(field, getComputedStyle(field).borderTopColor, field.parentElement as Element, 3)
    }
    return found

    function expectContrast (element: Element, color: string, on: Element, least: number): void {
      const paper = luminance(layers(on))
      const ink = luminance([...layers(on), color])
      const contrast = (Math.max(paper, ink) + 0.05) / (Math.min(paper, ink) + 0.05)
      if (contrast < least) found.push(`${nameOf(element)} has a contrast of ${contrast.toFixed(2)}`)
    }

    function layers (element: Element): string[] {
      const above = element.parentElement === null ? ['white'] : layers(element.parentElement)
      return [...above, getComputedStyle(element).backgroundColor]
    }

    /** Blends colors that are painted over one another. */
    function luminance (colors: string[]): number {
      const canvas = document.createElement('canvas')
      canvas.width = canvas.height = 1
      const context = canvas.getContext('2d') as CanvasRenderingContext2D
      for (const color of colors) {
        context.fillStyle = color
        context.fillRect(0, 0, 1, 1)
      }
      const [red = 0, green = 0, blue = 0] = Array.from(context.getImageData(0, 0, 1, 1).data, (value) => {
        const share = value / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    function nameOf (element: Element): string {
      return `<${element.tagName.toLowerCase()} class="${element.className}">${(element.textContent ?? '').trim().slice(0, 20)}`
    }
  }, isList)
}
