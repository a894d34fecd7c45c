import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { checkout, run } from '../processes/child.js'

const { scripts } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
const names = ['torture', 'soak', 'fuzz', 'simulate', 'enumeration', 'anomalies', 'worst-case', ...Object.keys(scripts).filter((name) => name.startsWith('bench'))]

for (const name of names) {
  test(`npm run ${name} prints its usage, and refuses options that it does not have`, async (t) => {
    // Without the compilation, which has just been done for this test.
    const script = scripts[name]?.split(' && ').at(-1) ?? ''
    const call = (option: string) => run('sh', ['-c', `PATH="node_modules/.bin:$PATH" exec ${script} ${option}`], checkout)

    const [help, misspelled] = await Promise.all([call('--help'), call('--hepl')])
    t.match(help, { code: 0, stderr: '' })
    t.ok(help.stdout.startsWith(`npm run ${name}`), help.stdout)
    t.match(misspelled, { code: 2, stdout: '' })
    t.match(misspelled.stderr, "Unknown option '--hepl'")
    t.ok(misspelled.stderr.endsWith(help.stdout), 'then the usage')
  })
}
