import { createRequire } from 'node:module'
import { test } from 'tap'
import { testKey } from '../helper.js'
import { pageAt } from '../pages/pages.js'
import { blocksOf } from '../pages/walk.js'
import { checkout, run } from '../processes/child.js'

test('the examples in docs/session.md compile, run, and refuse what does not fit', async (t) => {
  const [, section = ''] = pageAt('docs/session.md').split('## Types and schemas')
  const [example = '', valibot = '', typebox = ''] = blocksOf(section.split('\n## ')[0] as string, 'ts')
  const zod = /import \{ z \}.*?\n\}\)\n/s
  t.match(example, zod)
  const use = `
shop.get('/wrong', async ({ session }) => {
  // @ts-expect-error a number is no list
  session.cart = 5
})
const { body, headers } = await app.inject('/cart')
const { cookie } = { cookie: String(headers['set-cookie']).split(';')[0] as string }
console.log(body, (await app.inject({ url: '/cart', headers: { cookie } })).body, (await app.inject('/wrong')).json().code)
await app.close()
`
  const folder = t.testdir({
    'package.json': '{ "type": "module" }',
    'tsconfig.json': '{ "compilerOptions": { "noEmit": true, "strict": true, "target": "es2023", "module": "nodenext", "types": ["node"], "skipLibCheck": true } }',
    node_modules: { hatcheck: t.fixture('symlink', checkout) },
    'zod.ts': example + use,
    'valibot.ts': example.replace(zod, valibot) + use,
    'typebox.ts': example.replace(zod, typebox) + use
  })
  const files = ['zod.ts', 'valibot.ts', 'typebox.ts']
  const tsc = createRequire(import.meta.url).resolve('typescript/lib/tsc.js')
  t.strictSame(await run(process.execPath, [tsc, '-p', '.'], folder), { code: 0, stdout: '', stderr: '' })
  for (const file of files) {
    const { stdout, stderr } = await run(process.execPath, ['--import', 'tsx', file], folder, { SECRET_KEY: testKey })
    t.equal(stdout, '["apple"] ["apple","apple"] HATCHECK_SESSION_VALUE\n', stderr)
  }
})
