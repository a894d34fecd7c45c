import { spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { t, type Test } from 'tap'
import { needs } from '../helper.js'
import { pack } from '../pages/pack.js'
import { assertShown, blocksOf, stepsOf } from '../pages/walk.js'
import { checkout, childEnvironment, run } from '../processes/child.js'

// Each example is an application with a README: the first shell block installs and starts it, the second one uses it.

const HERE = 'http://127.0.0.1:3000'
const NPM = { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' }
/** An installation downloads packages. */
const START_MS = 120_000

const examples = readdirSync(join(checkout, 'examples')).filter((name) => existsSync(join(checkout, 'examples', name, 'package.json')))
const { tarball } = await pack(t.testdir())
const base = await installBase()

for (const name of examples) {
  t.test(`the example ${name} does what its README shows`, needs('curl'), async (t) => {
    const folder = t.testdir()
    await cp(join(checkout, 'examples', name), folder, { recursive: true })
    const readme = readFileSync(join(folder, 'README.md'), 'utf8')
    const [start = '', use = ''] = blocksOf(readme, 'sh')
    await usePacked(folder)
    await run('cp', ['-a', join(base, 'node_modules'), folder], folder)
    const address = await started(t, start, folder)
    const steps = stepsOf(use)
    t.ok(steps.length > 0, 'it has a walk-through')
    for (const step of steps) {
      const { stdout, stderr } = await run('bash', ['--norc', '-c', step.command.replaceAll(HERE, address).replaceAll(HERE.replace('http', 'ws'), address.replace('http', 'ws'))], folder)
      assertShown(t, stdout + stderr, step)
    }
  })
}

/**
 * Installs hatcheck once for all examples, and returns the folder. The `npm install` of each example starts from a copy: it adds
 * what is missing and removes what the example does not name.
 */
async function installBase (): Promise<string> {
  const folder = join(t.testdirName, 'base')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{ "private": true }')
  const { code, stderr } = await run('npm', ['install', tarball], folder, NPM)
  if (code !== 0) throw new Error(`npm install failed: ${stderr}`)
  return folder
}

/** Makes an example install the package of this checkout in place of the published one. */
async function usePacked (folder: string): Promise<void> {
  const file = join(folder, 'package.json')
  const manifest = JSON.parse(await readFile(file, 'utf8'))
  t.ok(manifest.dependencies.hatcheck, 'the example depends on hatcheck')
  manifest.dependencies.hatcheck = `file:${tarball}`
  await writeFile(file, JSON.stringify(manifest))
}

/** Runs the commands that install and start an example, and returns the address at which it listens. It ends with the test. */
async function started (t: Test, commands: string, folder: string): Promise<string> {
  const env = childEnvironment({ PORT: '0', ...NPM })
  // In a process group of its own: npm runs the application as its child.
  const child = spawn('bash', ['--norc', '-e', '-c', commands], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  t.teardown(() => { if (child.exitCode === null) process.kill(-(child.pid as number), 'SIGKILL') })
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => { reject(new Error(`it has not started: ${output}`)) }, START_MS)
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`
      const address = /listening at (http:[^"\s]+)/i.exec(line)?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    })
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`it ended with ${code}: ${output}`))
    })
  })
}
