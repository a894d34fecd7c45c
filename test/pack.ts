import { join } from 'node:path'
import { checkout, run } from './fixtures/child.js'

interface Packed {
  /** The path of the package. */
  tarball: string
  files: Array<{ path: string, mode: number }>
}

/** Packs what would be published into a folder, from what is built. */
export async function pack (folder: string): Promise<Packed> {
  const { code, stdout, stderr } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], checkout)
  if (code !== 0) throw new Error(`npm pack failed: ${stderr}`)
  const [{ filename, files }] = JSON.parse(stdout)
  return { tarball: join(folder, filename), files }
}
