import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import type { Diagnostic, SourceFile } from 'typescript'
import { checkout, run } from '../processes/child.js'

/** Files that come with the compiler. No package can break them, and checking them takes most of the time. */
const OF_THE_COMPILER = /\/node_modules\/(?:typescript\/lib|@types\/node|undici-types)\//

/** The folder of the version of TypeScript that this project uses. */
export const ownTypeScript = join(checkout, 'node_modules/typescript')

/** Installs another version of TypeScript from the registry, and returns its folder. */
export async function installTypeScript (t: Test, version: string): Promise<string> {
  const folder = t.testdir({ 'package.json': '{}' })
  const { code, stderr } = await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', `typescript@${version}`], folder)
  if (code !== 0) throw new Error(`npm install failed: ${stderr}`)
  return join(folder, 'node_modules/typescript')
}

/**
 * Returns a function that lists the errors of a project (a tsconfig.json, and options that replace its own) as
 * `tsc --skipLibCheck false` does. It reads each file once for all projects, and checks no file that comes with the compiler.
 *
 * @param folder the folder of the package `typescript`
 */
export function typeChecker (folder: string): (project: string, changes?: object) => string {
  const ts = createRequire(import.meta.url)(folder) as typeof import('typescript')
  const files = new Map<string, SourceFile | undefined>()

  return (project, changes = {}) => {
    const config = ts.readConfigFile(project, (path) => ts.sys.readFile(path))
    const { options, fileNames: rootNames, errors } = ts.parseJsonConfigFileContent(config.config, ts.sys, dirname(project),
      { ...ts.convertCompilerOptionsFromJson(changes, dirname(project)).options, skipLibCheck: false }, project)
    const host = ts.createCompilerHost(options)
    const read = host.getSourceFile.bind(host)
    host.getSourceFile = (name, how, ...rest) => {
      const key = JSON.stringify([name, how, options.module, options.moduleResolution])
      if (!files.has(key)) files.set(key, read(name, how, ...rest))
      return files.get(key)
    }
    const program = ts.createProgram({ rootNames, options, host })
    const found: Diagnostic[] = [...errors, ...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics()]
    for (const file of program.getSourceFiles()) {
      if (!OF_THE_COMPILER.test(file.fileName)) found.push(...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file))
      if (options.declaration === true && rootNames.includes(file.fileName)) found.push(...program.getDeclarationDiagnostics(file))
    }
    return ts.formatDiagnostics(found, host)
  }
}
