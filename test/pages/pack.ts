import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { checkout, run } from '../processes/child.js'

interface Packed {
  /** The path of the package. */
  tarball: string
  files: Array<{ path: string, mode: number }>
}

/** What is published, and the program that prepares it. */
const PARTS = ['package.json', 'dist', 'docs', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'LICENSE', 'test/prune-types.js']

/** Packs the package in an empty folder as `npm pack` does, but from a copy of what is built: other tests may be running that. */
export async function pack (folder: string): Promise<Packed> {
  for (const name of PARTS) await cp(join(checkout, name), join(folder, name), { recursive: true })
  await run(process.execPath, ['test/prune-types.js'], folder)
  const { code, stdout, stderr } = await run('npm', ['pack', '--json', '--ignore-scripts'], folder)
  if (code !== 0) throw new Error(`npm pack failed: ${stderr}`)
  const [{ filename, files }] = JSON.parse(stdout)
  return { tarball: join(folder, filename), files }
}
