import { test } from 'tap'
import { html } from '../plugins/view/html.js'
import { build } from './helper.js'

const EVIL = '"><script>alert(\'1\')</script>&amp;'
const HARMLESS = '&#34;&#62;&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#38;amp;'

test('texts and attributes are escaped', (t) => {
  t.equal(String(html`<p title="${EVIL}">${EVIL}</p>`), `<p title="${HARMLESS}">${HARMLESS}</p>`)
  t.equal(String(html`<p title='${"' onclick='alert(1)"}'></p>`), "<p title='&#39; onclick&#61;&#39;alert(1)'></p>")
  t.equal(String(html`<p>${''}${'no special characters'}${-1.5}</p>`), '<p>no special characters-1.5</p>')
  t.equal(String(html`<p>${'名前 👩‍👩‍👧 <'}</p>`), '<p>名前 👩‍👩‍👧 &#60;</p>')
  t.end()
})

test('no character of a template turns escaping off', (t) => {
  for (const before of ['!', '$', '\\', '!!', '=', '|']) {
    const literals = Object.assign([`<p>Hello${before}`, '</p>'], { raw: [`<p>Hello${before}`, '</p>'] })
    t.equal(String(html(literals, EVIL)), `<p>Hello${before}${HARMLESS}</p>`)
  }
  t.equal(String(html`<p>Hello!${EVIL}</p>`), `<p>Hello!${HARMLESS}</p>`)
  t.end()
})

test('HTML within HTML is not escaped twice, also in a list', (t) => {
  const item = (text: string): ReturnType<typeof html> => html`<li>${text}</li>`
  t.equal(String(html`<ul>${[item('a'), item('<')]}</ul>${item('>')}${[]}`), '<ul><li>a</li><li>&#60;</li></ul><li>&#62;</li>')
  t.end()
})

test('a string is never accepted as HTML', (t) => {
  const name: string = EVIL
  t.equal(String(html`<p>${String(html`<b>bold</b>`)}</p>`), '<p>&#60;b&#62;bold&#60;/b&#62;</p>')
  const forged = { toString: () => name }
  // @ts-expect-error an object is no HTML
  t.throws(() => html`<p>${forged}</p>`)
  // @ts-expect-error strings in a list are no HTML
  t.equal(String(html`<p>${[name]}</p>`), `<p>${HARMLESS}</p>`)
  // @ts-expect-error a string is no body of a page
  const page: import('../plugins/view/layout.js').PageParts = { title: name, body: name }
  t.equal(page.title, name)
  t.end()
})

test('the cookie of a notice chooses among the notices, and shows no text of its own', async (t) => {
  const app = await build(t, { authenticate: (name) => ({ name }) })
  const notice = async (value: string): Promise<[status: number, isShown: boolean]> => {
    const { statusCode, body } = await app.inject({ url: '/', headers: { accept: 'text/html', cookie: `hatcheck-notice=${value}` } })
    return [statusCode, body.includes('id="notice"') || body.includes(value)]
  }
  for (const value of ['toString', 'constructor', '__proto__', 'Pay-here']) t.strictSame(await notice(value), [200, false], value)
})
