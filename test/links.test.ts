import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { allPages, anchorsOf, guides, pageAt } from './pages/pages.js'
import { checkout } from './processes/child.js'

/** A link or an image, in Markdown or in HTML, that stays in the repository. */
const LINK = /(?:\]\(|\b(?:src|srcset|href)=")(?!https?:|mailto:)([^)"\s#]*)(?:#([^)"\s]+))?[)"]/g

for (const name of allPages) {
  test(`every link of ${name} leads to a file, and to a heading where it names one`, async (t) => {
    for (const [, target = '', anchor] of pageAt(name).replace(/^```.*?^```$/gms, '').matchAll(LINK)) {
      const path = target === '' ? name : join(name, '..', target)
      const there = existsSync(join(checkout, path))
      t.ok(there, `${name}: ${target}`)
      if (there && anchor !== undefined) t.ok(anchorsOf(pageAt(path)).includes(anchor), `${name}: ${target}#${anchor}`)
    }
  })
}

test('docs/architecture.md lists every folder and file of plugins, and answers each question with a file', async (t) => {
  const map = pageAt('docs/architecture.md')
  for (const name of readdirSync(join(checkout, 'plugins'))) t.ok(map.includes(`](../plugins/${name})`), name)
  const [, questions = ''] = map.split('## Ten questions')
  t.equal(questions.match(/^\| .*\? \| .*\]\([^#]/gm)?.length, 10)
  for (const [, target = ''] of questions.matchAll(/\]\(([^)#]+)/g)) t.match(target, /\.(?:md|ts)$/, target)
})

test('the index of the README lists every page of docs', async (t) => {
  const index = pageAt('README.md')
  for (const page of guides.slice(1)) t.ok(index.includes(`](${page})`), page)
})

test('the README and SECURITY.md stay short', async (t) => {
  t.ok(pageAt('README.md').split('\n').length <= 201)
  t.ok(pageAt('SECURITY.md').split('\n').length <= 101)
})
