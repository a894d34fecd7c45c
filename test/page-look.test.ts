import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import { readEnvironment } from '../plugins/config/environment.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { createStyle } from '../plugins/view/style.js'
import { AS_BROWSER } from './clients/accept.js'
import type { Answer } from './clients/client.js'
import { build, buildHost, newFastify, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'
import { blocksOf } from './pages/walk.js'
import { startProgram } from './processes/child.js'

async function loginPage (t: Test, options: GivenOptions): Promise<Answer> {
  const fastify = await buildHost(t, { routes: true, signup: 'open', ...options })
  return await fastify.inject({ url: '/login', headers: AS_BROWSER })
}

/** The sources of a directive of the Content-Security-Policy. */
function allowed ({ headers }: Answer, directive: string): string[] {
  const policy = String(headers['content-security-policy']).split(';').map((part) => part.split(' '))
  return policy.find(([name]) => name === directive)?.slice(1) ?? []
}

function hashOf ({ body }: Answer): string {
  const [, style = ''] = /<style>(.*)<\/style>/s.exec(body) ?? []
  return `'sha256-${createHash('sha256').update(style).digest('base64')}'`
}

test('without options, the pages have the name and the hat of hatcheck', async (t) => {
  const page = await loginPage(t, {})
  t.match(page.body, '<title>Log in | hatcheck</title>')
  t.match(page.body, /<p class="brand"><svg .*<\/svg>hatcheck<\/p>/)
  t.same(allowed(page, 'style-src'), [hashOf(page)])
  t.same(allowed(page, 'img-src'), ['data:'])
})

test('pageTitle is the name in the title and at the top', async (t) => {
  const { body } = await loginPage(t, { pageTitle: 'Äpfel & <b>"Birnen"</b>' })
  t.match(body, '<title>Log in | Äpfel &#38; &#60;b&#62;&#34;Birnen&#34;&#60;/b&#62;</title>')
  t.match(body, '</svg>Äpfel &#38; &#60;b&#62;&#34;Birnen&#34;&#60;/b&#62;</p>')
})

test('pageLogo stands at the top and is the icon, and the policy allows it and no other image', async (t) => {
  const cases: Array<[string, string[]]> = [
    ['/logo.svg', ["'self'"]],
    ['/images/my-logo.png?v=2&x="\'<>', ["'self'"]],
    ['https://cdn.example.com/brand/logo.svg', ['https://cdn.example.com/brand/logo.svg']],
    ['https://cdn.example.com:8443/logo?size=2;x', ['https://cdn.example.com:8443/logo']],
    ['http://localhost:3000/logo.svg', ['http://localhost:3000/logo.svg']],
    ['data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E', []]
  ]
  for (const [pageLogo, sources] of cases) {
    const page = await loginPage(t, { pageLogo })
    const escaped = pageLogo.replace(/["&'<=>]/g, (character) => `&#${character.charCodeAt(0)};`)
    t.match(page.body, `<p class="brand"><img src="${escaped}" alt=""></p>`)
    t.match(page.body, `<link rel="icon" href="${escaped}">`)
    t.match(page.body, '<title>Log in</title>', 'a logo without a title stands alone')
    t.same(allowed(page, 'img-src'), ['data:', ...sources], pageLogo)
    t.same(allowed(page, 'style-src'), [hashOf(page)])
  }
  const { body } = await loginPage(t, { pageLogo: '/logo.svg', pageTitle: 'Apples' })
  t.match(body, '<img src="/logo.svg" alt="">Apples</p>')
  t.match(body, '<title>Log in | Apples</title>')
})

test('without a logo, the hat is the icon, in the accent color', async (t) => {
  const { body } = await loginPage(t, { pageAccentColor: '#0a7' })
  const [, icon = ''] = /<link rel="icon" href="data:image\/svg\+xml,([^"]+)">/.exec(body) ?? []
  t.match(decodeURIComponent(icon.replaceAll('&#39;', "'")), /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*stroke="#0a7"/)
})

test('pageStylesheet comes after the style of hatcheck, and the policy allows it and no other', async (t) => {
  for (const [pageStylesheet, source] of [['/pages.css', "'self'"], ['https://cdn.example.com/a/pages.css?v=1', 'https://cdn.example.com/a/pages.css']] as const) {
    const page = await loginPage(t, { pageStylesheet })
    t.match(page.body, `</style>\n<link rel="stylesheet" href="${pageStylesheet.replace('=', '&#61;')}">\n</head>`)
    t.same(allowed(page, 'style-src'), [hashOf(page), source])
    t.same(allowed(page, 'img-src'), ['data:'])
  }
})

test('the policy allows no more than these addresses', async (t) => {
  const page = await loginPage(t, { pageLogo: 'https://cdn.example.com/logo.svg', pageStylesheet: '/pages.css', pageAccentColor: '#0a7' })
  t.equal(page.headers['content-security-policy'],
    `default-src 'none';style-src ${hashOf(page)} 'self';img-src data: https://cdn.example.com/logo.svg;form-action 'self';base-uri 'none';frame-ancestors 'none'`)
})

const BAD_ADDRESSES = [
  '', ' ', 'logo.svg', './logo.svg', '../logo.svg', '//evil.example/logo.svg', '/\\evil.example/logo.svg', '\\\\evil.example/logo.svg', '/', 'https://cdn.example.com',
  'https://cdn.example.com/', 'https://cdn.example.com/brand/', 'https://cdn.example.com//logo.svg', 'javascript:alert(1)', 'JavaScript:alert(1)', ' javascript:alert(1)',
  'java\nscript:alert(1)', 'vbscript:x', 'file:///etc/passwd', 'ftp://example.com/logo.svg', 'blob:https://example.com/x', 'data:text/html,<script>', 'https://user:pass@example.com/logo.svg',
  'https://*.example.com/logo.svg', 'https://a.example b.example/logo.svg', "https://example.com/logo.svg; script-src 'unsafe-inline'", 'https://example.com/a;b', 'https://example.com/a,b',
  '/a;b', '/logo .svg', '/logo.svg#x', '/lögo.svg', '/logo.svg\n', '/logo.svg\r\nset-cookie: a=1', 'https://exämple.com/logo.svg', 'https://[::1]/logo.svg', 'null'
]

test('other addresses are refused, with the rule as the message', async (t) => {
  for (const bad of BAD_ADDRESSES) {
    await t.rejects(buildHost(t, { pageLogo: bad }), { code: 'HATCHECK_CONFIG', message: `pageLogo must be a path such as /logo.svg, the URL of an image, or a data: URL of an image; got ${JSON.stringify(bad)}.` }, bad)
    await t.rejects(buildHost(t, { pageStylesheet: bad }), { message: `pageStylesheet must be a path such as /pages.css, or the URL of a stylesheet; got ${JSON.stringify(bad)}.` }, bad)
  }
  await t.rejects(buildHost(t, { pageStylesheet: 'data:text/css,a{}' }))
  await t.rejects(buildHost(t, { pageLogo: 'data:image/svg+xml,<svg onload=a b>' }), 'a space')
  await t.rejects(build(t, { pageLogo: 'logo.svg' }), { message: /^PAGE_LOGO must be a path such as/ })
  for (const bad of ['', 'x'.repeat(65), 'two\nlines', 'a\u0000b', '\u202Eevil']) {
    await t.rejects(buildHost(t, { pageTitle: bad }), { message: `pageTitle must be 1 to 64 characters on one line; got ${JSON.stringify(bad)}.` })
  }
  for (const bad of ['red', '0a7', '#0a', '#00aa7', '#00aa77ff', '#ggg', 'rgb(0,0,0)', '#000;}body{', '#000\n']) {
    await t.rejects(buildHost(t, { pageAccentColor: bad }), { message: `pageAccentColor must be a color such as #0a7 or #00aa77; got ${JSON.stringify(bad)}.` })
  }
})

test('the service reads the look from the environment', async (t) => {
  const { options } = readEnvironment({ PAGE_TITLE: 'Apples', PAGE_LOGO: '/logo.svg', PAGE_ACCENT_COLOR: '#0a7', PAGE_STYLESHEET: '/pages.css', PAGE_LANGUAGES: 'de' })
  t.match(options, { pageTitle: 'Apples', pageLogo: '/logo.svg', pageAccentColor: '#0a7', pageStylesheet: '/pages.css', pageLanguages: 'de' })
  const { body } = await (await build(t, options)).inject({ url: '/', headers: AS_BROWSER })
  t.match(body, '<title>Nicht angemeldet | Apples</title>')
  t.match(body, '--accent: #0a7')
})

test('two registrations in one application each have their own look and policy', async (t) => {
  const fastify = newFastify(t)
  for (const [name, pageAccentColor] of [['a', '#a00'], ['b', '#00a']] as const) {
    await fastify.register(async (scope) => {
      await scope.register(hatcheck, {
        secretKey: testKey, sessionStore: 'memory:', routes: true, prefix: `/${name}`, sessionCookieName: name, pageAccentColor, pageTitle: name, pageLogo: `/${name}.png`
      })
    })
  }
  for (const [name, color] of [['a', '#a00'], ['b', '#00a']] as const) {
    const page = await fastify.inject({ url: `/${name}/login`, headers: AS_BROWSER })
    t.match(page.body, `<img src="/${name}.png" alt="">${name}</p>`)
    t.match(page.body, `--accent: ${color}`)
    t.same(allowed(page, 'style-src'), [hashOf(page)])
  }
})

type Rgb = [red: number, green: number, blue: number]

/** Written anew from WCAG 2.2, so that it does not share a mistake with the code. */
function contrast (one: string, other: string): number {
  const luminanceOf = (color: string): number => {
    const digits = color.length === 4 ? [...color.slice(1)].map((digit) => digit + digit) : color.slice(1).match(/../g) ?? []
    const [r, g, b] = digits.map((pair) => Number(`0x${pair}`) / 255).map((c) => c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4)) as Rgb
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const [a, b] = [luminanceOf(one), luminanceOf(other)]
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
}

test('whatever the accent color is, texts on it and links in it have a contrast of 4.5 or more, in light and dark', (t) => {
  const styleOf = (color: string): string => String(createStyle(color))
  const [, paper = '', darkPaper = '', card = '', darkCard = ''] = /--paper: light-dark\((#\w+), (#\w+)\); --card: light-dark\((#\w+), (#\w+)\)/.exec(styleOf('#000')) ?? []
  t.not(darkCard, '')
  const steps = [0, 5, 9, 12, 15].map((digit) => digit.toString(16))
  const colors = steps.flatMap((r) => steps.flatMap((g) => steps.map((b) => `#${r}${g}${b}`)))
  // Greys around the point where white text becomes unreadable.
  for (let i = 0; i < 256; i++) colors.push(`#${i.toString(16).padStart(2, '0').repeat(3)}`)
  for (const color of colors) {
    const [, accent = '', on = '', link = '', darkLink = ''] = /--accent: (#\w+); --on-accent: (#\w+); --link: light-dark\((#\w+), (#\w+)\)/.exec(styleOf(color)) ?? []
    const ratios = [contrast(accent, on), contrast(link, paper), contrast(link, card), contrast(darkLink, darkPaper), contrast(darkLink, darkCard)]
    if (accent !== color || Math.min(...ratios) < 4.5) t.fail(`${color}: ${ratios.join()}`)
  }
  t.match(styleOf('#00447c'), '--link: light-dark(#00447c', 'a color that can be read stays as it is')
  t.end()
})

test('the example in docs/pages.md has the look and the languages that it asks for', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'app.mjs')
  writeFileSync(file, (blocksOf(pageAt('docs/pages.md'), 'js')[0] ?? '').replace('port: 3000', 'port: 0'))
  const { address, stop } = await startProgram(process.execPath, [file], folder, { SECRET_KEY: testKey })
  const page = async (language: string): Promise<string> => await (await fetch(`${address}/login`, { headers: { ...AS_BROWSER, 'accept-language': language } })).text()
  t.match(await page('fr'), /<title>Anmelden \| Apple Shop<\/title>/)
  t.match(await page('en'), /<title>Log in \| Apple Shop<\/title>/)
  for (const [path, type] of [['/logo.svg', 'image/svg+xml'], ['/pages.css', 'text/css']] as const) {
    t.match(await page('en'), `="${path}"`)
    t.match((await fetch(address + path)).headers.get('content-type'), type)
  }
  await stop()
})

test('the properties and classes that docs/pages.md names are in the style', (t) => {
  const names = [...pageAt('docs/pages.md').matchAll(/`(--[\w-]+|\.[\w-]+)`/g)].map(([, name = '']) => name)
  t.ok(names.length > 20)
  const style = String(createStyle(undefined))
  for (const name of names) t.ok(style.includes(name), name)
  t.end()
})
