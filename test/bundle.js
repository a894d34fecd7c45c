// Makes the JavaScript of dist/: few files, because Node takes longer to find and link modules than to run them. A start takes
// an eighth less CPU time. Packages are no part of it, and what is imported where it is used has a file of its own.
import { build } from 'esbuild'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, posix, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
/** What an application or a person starts or imports; they share their classes and what they know. */
const DOORS = ['app', 'server', 'cli', 'plugins/testing/index', 'plugins/store/contract/index']
const OPTIONS = { absWorkingDir: root, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' }

const autoloaded = [...pluginsIn('plugins'), ...pluginsIn('routes')]

await Promise.all([
  build({
    ...OPTIONS,
    entryPoints: [...DOORS.map((door) => ({ in: `${door}.ts`, out: door })), { in: 'autoloaded', out: 'autoloaded' }],
    outdir: 'dist',
    splitting: true,
    // Beside the doors: some code reads files of its own folder.
    chunkNames: '[name]-[hash]',
    plugins: [{ name: 'autoloaded', setup: resolveAutoloaded }]
  }),
  // In one file, because its parts in shared files take twice as long to import.
  build({ ...OPTIONS, entryPoints: ['plugins/session/standalone.ts'], outfile: 'dist/session.js' })
])
for (const [i, file] of autoloaded.entries()) {
  const made = join(root, 'dist', file.replace(/ts$/, 'js'))
  mkdirSync(dirname(made), { recursive: true })
  writeFileSync(made, `export { plugin${i} as default } from '${posix.relative(posix.dirname(file), 'autoloaded.js')}'\n`)
}
cpSync(join(root, 'plugins/view/languages'), join(root, 'dist/languages'), { recursive: true })

/** The module of all plugins and routes that @fastify/autoload finds by their folders. */
function resolveAutoloaded ({ onResolve, onLoad }) {
  onResolve({ filter: /^autoloaded$/ }, () => ({ path: 'autoloaded', namespace: 'autoloaded' }))
  onLoad({ filter: /.*/, namespace: 'autoloaded' }, () => ({
    resolveDir: root,
    contents: autoloaded.map((file, i) => `export { default as plugin${i} } from './${file}'`).join('\n')
  }))
}

function pluginsIn (folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .map((entry) => posix.join(folder, entry.name, entry.isDirectory() ? 'index.ts' : ''))
    .filter((file) => existsSync(join(root, file)) && /^export default /m.test(readFileSync(join(root, file), 'utf8')))
}
