import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../processes/child.js'

/** Reads a page of the documentation, by its path from the top of the repository. */
export function pageAt (path: string): string {
  return readFileSync(join(checkout, path), 'utf8')
}

/** Lists every Markdown page of a folder and of the folders below it, by its path from the top. */
export function pagesUnder (folder: string): string[] {
  return readdirSync(join(checkout, folder), { recursive: true }).map(String)
    .filter((file) => file.endsWith('.md')).map((file) => `${folder}/${file}`).sort()
}

/** Lists the pages of the top folder. */
function pagesOnTop (): string[] {
  return readdirSync(checkout).filter((file) => file.endsWith('.md')).sort()
}

/** README.md first, then everything in docs/: the pages whose examples run. */
export const guides = ['README.md', ...pagesUnder('docs')]

export const allPages = [...pagesOnTop(), ...pagesUnder('docs'), ...pagesUnder('examples')]

/** Names the headings of a page as links do. */
export function anchorsOf (text: string): string[] {
  const seen = new Map<string, number>()
  return [...text.replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => {
    const name = heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-')
    const times = seen.get(name) ?? 0
    seen.set(name, times + 1)
    return times === 0 ? name : `${name}-${times}`
  })
}
