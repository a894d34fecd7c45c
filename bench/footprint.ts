import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { checkout, childEnvironment, copySources } from '../test/processes/child.js'
import { readCommandLine } from './command-line.js'
import { runCommand, say, type Lifetime } from './command.js'
import { applicationsOf, programOf, type ApplicationSample } from './footprint/applications.js'
import { SERVICES, measureLoad, measureStart, type StartSample } from './footprint/service.js'
import { applicationTable, mediansOf, serviceTable, type Footprint, type Installed } from './footprint/table.js'
import { startRedis } from './stores.js'

// Measures what an application installs, loads and keeps in memory for its sessions, and the same of the service; by default
// both. It installs packages from the registry. Cold processes take turns; their CPU times depend less on a busy machine than
// the time on the clock.

const ROUNDS = 9

const PARTS = ['applications', 'service'] as const
const USAGE = 'npm run bench:footprint -- [--json] [applications] [service]'
const { json, parts } = readCommandLine(USAGE, () => {
  const { values: { json }, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean', default: false } } })
  const unknown = positionals.find((name) => !PARTS.some((part) => part === name))
  if (unknown !== undefined) throw new Error(`unexpected argument: ${unknown}`)
  return { json, parts: positionals.length === 0 ? PARTS : positionals }
})

await runCommand('footprint', async (lifetime) => {
  const hatcheck = await pack(lifetime)
  const footprint: Footprint = {
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    ...parts.includes('applications') && { applications: await measureApplications(lifetime, hatcheck) },
    ...parts.includes('service') && { services: await measureServices(lifetime, hatcheck) }
  }
  const { applications, services } = footprint
  console.log(json
    ? JSON.stringify(footprint, null, 2)
    : [...applications === undefined ? [] : [applicationTable(applications)], ...services === undefined ? [] : [serviceTable(services)]].join('\n'))
})

/** Packs the sources as they are now. */
async function pack ({ folder, signal }: Lifetime): Promise<string> {
  say('packing')
  const source = join(folder, 'source')
  await copySources(source)
  // With what builds it.
  symlinkSync(join(checkout, 'node_modules'), join(source, 'node_modules'), 'junction')
  const [{ filename }] = JSON.parse(await run('npm', ['pack', '--json', '--foreground-scripts=false'], source, signal))
  return join(source, filename)
}

async function measureApplications ({ folder, signal, teardown }: Lifetime, hatcheck: string) {
  const redis = await startRedis(folder, signal)
  if (redis === null) say('redis-server is not installed: no application on Redis is measured')
  else teardown(redis.close)
  const applications = []
  for (const [name, application] of Object.entries(applicationsOf(hatcheck, redis?.resources.redisUrl ?? null))) {
    const root = join(folder, String(applications.length))
    const installed = await install(name, root, application.packages, signal)
    writeFileSync(join(root, 'program.js'), programOf(application))
    applications.push({ name, root, installed, samples: [] as ApplicationSample[] })
  }
  for (let round = 1; round <= ROUNDS; round++) {
    say(`applications: round ${round} of ${ROUNDS}`)
    for (const { root, samples } of applications) samples.push(JSON.parse(await run(process.execPath, ['--expose-gc', 'program.js'], root, signal)))
  }
  return applications.map(({ name, installed, samples }) => ({ name, ...installed, ...mediansOf(samples) }))
}

async function measureServices (lifetime: Lifetime, hatcheck: string) {
  const { folder, signal } = lifetime
  const root = join(folder, 'service')
  const installed = await install('service', root, [hatcheck], signal)
  const services = Object.entries(SERVICES).map(([name, store]) => ({ name, store, starts: [] as StartSample[] }))
  for (let round = 1; round <= ROUNDS; round++) {
    say(`service: round ${round} of ${ROUNDS}`)
    for (const { store, starts } of services) starts.push(await measureStart(lifetime, root, store))
  }
  const measured = []
  for (const { name, store, starts } of services) {
    say(`${name}: under load`)
    measured.push({ name, ...installed, start: mediansOf(starts), load: await measureLoad(lifetime, root, store) })
  }
  return measured
}

async function install (name: string, root: string, packages: readonly string[], signal: AbortSignal): Promise<Installed> {
  say(`installing ${name}`)
  mkdirSync(root)
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...packages.map(withVersion)], root, signal)
  const list = await run('npm', ['ls', '--all', '--parseable'], root, signal)
  return {
    mebibytes: Number.parseInt(await run('du', ['-sk', 'node_modules'], root, signal), 10) / 1_024,
    packages: new Set(list.trim().split('\n').slice(1)).size
  }
}

/** Adds the version that this project has of a package, if it has one. */
function withVersion (name: string): string {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as Record<'dependencies' | 'devDependencies', Record<string, string>>
  const version = dependencies[name] ?? devDependencies[name]
  return version === undefined ? name : `${name}@${version}`
}

async function run (program: string, args: string[], cwd: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { cwd, env: childEnvironment(), signal })
  return stdout
}
