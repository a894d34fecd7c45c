import { join } from 'node:path'
import { t } from 'tap'
import ts from 'typescript'
import { rows } from '../pages/options-page.js'
import { guides, pageAt } from '../pages/pages.js'
import { blocksOf } from '../pages/walk.js'
import { checkout, run } from '../processes/child.js'

t.test('the TypeScript examples in the documentation compile with strict', async (t) => {
  // The names on the page about other plugins would count for all: test/long/other-plugin-types.test.ts compiles that example.
  const examples = guides.filter((page) => page !== 'docs/other-plugins.md').flatMap((page) => blocksOf(pageAt(page), 'ts'))
  t.ok(examples.length >= 1)
  const folder = t.testdir({
    'tsconfig.json': JSON.stringify({
      compilerOptions: { target: 'es2023', module: 'nodenext', types: ['node'], strict: true, exactOptionalPropertyTypes: true, noPropertyAccessFromIndexSignature: true, noEmit: true },
      include: ['*.mts']
    }),
    ...Object.fromEntries(examples.map((block, i) => [`example-${i}.mts`, block]))
  })
  t.same(await run(join(checkout, 'node_modules/.bin/tsc'), ['--project', '.'], folder), { code: 0, stdout: '', stderr: '' })
})

t.test('editors show the JSDoc of every option', async (t) => {
  const file = join(checkout, 'plugins/config/options.ts')
  const program = ts.createProgram([file], { strict: true, module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2023, types: ['node'], skipLibCheck: true })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(file) as ts.SourceFile
  const options = checker.getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol).find(({ name }) => name === 'HatcheckOptions') as ts.Symbol
  const shown = checker.getDeclaredTypeOfSymbol(options).getProperties()
    .map((property) => [property.name, ts.displayPartsToString(property.getDocumentationComment(checker)).replaceAll('\n', ' ')])
  const expected = rows.filter(({ isOption }) => isOption)
  t.same(shown.map(([name]) => name).sort(), expected.map(({ option }) => option).sort())
  for (const { option, text } of expected) t.ok(shown.find(([name]) => name === option)?.[1]?.startsWith(text.about), option)
})
