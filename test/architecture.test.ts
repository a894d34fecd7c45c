import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import { test } from 'tap'
import ts from 'typescript'
import { checkout } from './processes/child.js'

const files = ['app.ts', 'server.ts', 'cli.ts', ...sourcesIn('plugins'), ...sourcesIn('routes')]

/** The imports of each source file, types as well, by paths from the top of the repository. */
const imports = new Map(files.map((file) => [file, ts.preProcessFile(readFileSync(join(checkout, file), 'utf8')).importedFiles
  .map(({ fileName }) => fileName).filter((name) => name.startsWith('.'))
  .map((name) => join(dirname(file), name).replace(/\.js$/, '.ts'))]))

test('no files and no folders import each other in a circle', (t) => {
  const ofFolders = new Map<string, string[]>()
  for (const [file, imported] of imports) {
    const folder = dirname(file)
    ofFolders.set(folder, [...ofFolders.get(folder) ?? [], ...imported.map((file) => dirname(file)).filter((other) => other !== folder)])
  }
  t.same(circleIn(imports), [])
  t.same(circleIn(ofFolders), [])
  t.same(circleIn(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]])), ['b', 'c', 'b'])
  t.end()
})

/** No file in the folder of the first imports a file in the folder of the second. */
const FORBIDDEN: ReadonlyArray<[from: RegExp, to: RegExp]> = [
  [/^plugins\/common\//, /^(?!plugins\/common\/)/],
  [/^plugins\/store\//, /^plugins\/(storage|session|accounts|throttle|login|http)\//],
  [/^plugins\//, /^routes\//],
  [/^(plugins|routes)\//, /^(server|cli)\.ts$/],
  [/^(plugins\/(?!cli\/)|routes\/)/, /^app\.ts$/]
]

test('imports go one way', (t) => {
  for (const [from, to] of FORBIDDEN) {
    const wrong = [...imports].filter(([file]) => from.test(file))
      .flatMap(([file, imported]) => imported.filter((other) => to.test(other)).map((other) => `${file} → ${other}`))
    t.same(wrong, [], `${String(from)} → ${String(to)}`)
  }
  t.end()
})

test('CONTRIBUTING.md names each folder of test/, and no other', (t) => {
  const named = new Set([...readFileSync(join(checkout, 'CONTRIBUTING.md'), 'utf8').matchAll(/`test\/([\w-]+)\/`/g)].map(([, folder = '']) => folder))
  const folders = readdirSync(join(checkout, 'test'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  t.same([...named].sort(), folders.sort())
  t.end()
})

function sourcesIn (folder: string): string[] {
  return readdirSync(join(checkout, folder), { recursive: true }).map(String)
    .filter((file) => file.endsWith('.ts')).map((file) => join(folder, file.replaceAll('\\', '/')))
}

/** Finds a circle in a graph. Returns its members, the first one again at the end; or nothing. */
function circleIn (graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  return firstOf([...graph.keys()], (node) => circleFrom(node, []))

  function circleFrom (node: string, path: readonly string[]): string[] {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return []
    const circle = firstOf(graph.get(node) ?? [], (next) => circleFrom(next, [...path, node]))
    done.add(node)
    return circle
  }
}

function firstOf (nodes: readonly string[], circleFrom: (node: string) => string[]): string[] {
  for (const node of nodes) {
    const circle = circleFrom(node)
    if (circle.length > 0) return circle
  }
  return []
}
