import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { checkout, childEnvironment, copySources } from '../test/fixtures/child.js'
import { applicationsOf, programOf, type Application, type ApplicationSample } from './footprint/applications.js'
import { SERVICES, measureLoad, measureStart, type LoadSample, type StartSample } from './footprint/service.js'
import { applicationTable, mediansOf, serviceTable, type Footprint, type Installed } from './footprint/table.js'
import { redisPlace } from './places.js'
import { orUsage } from './usage.js'

// Measures what an application installs, loads and keeps in memory for its sessions, and the same of the service; by default
// both. It installs packages from the registry. CPU times are medians of cold processes, in turns; they depend less on a busy
// machine than the time on the clock.

const ROUNDS = 9

const USAGE = 'npm run bench:footprint -- [--json] [applications] [service]'
const { values: { json }, positionals } = orUsage(USAGE, () => parseArgs({ allowPositionals: true, options: { json: { type: 'boolean', default: false } } }))
const measures = (part: 'applications' | 'service'): boolean => positionals.length === 0 || positionals.includes(part)

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-footprint-'))
const interrupt = new AbortController()

try {
  const hatcheck = await pack()
  const footprint: Footprint = {
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    ...measures('applications') && { applications: await measureApplications(hatcheck) },
    ...measures('service') && { services: await measureServices(hatcheck) }
  }
  const { applications, services } = footprint
  console.log(json
    ? JSON.stringify(footprint, null, 2)
    : [...applications === undefined ? [] : [applicationTable(applications)], ...services === undefined ? [] : [serviceTable(services)]].join('\n\n'))
} finally {
  interrupt.abort()
  rmSync(folder, { recursive: true, force: true })
}

/** Packs the sources as they are now. */
async function pack (): Promise<string> {
  say('packing')
  const source = join(folder, 'source')
  await copySources(source)
  // What builds it.
  symlinkSync(join(checkout, 'node_modules'), join(source, 'node_modules'), 'junction')
  const [{ filename }] = JSON.parse(await ran('npm', ['pack', '--json', '--foreground-scripts=false'], source))
  return join(source, filename)
}

async function measureApplications (hatcheck: string) {
  const redis = await redisPlace(folder, interrupt.signal)
  const applications = Object.entries(applicationsOf(hatcheck, redis?.where ?? null)).map(([name, application], i) => (
    { name, application, place: join(folder, String(i)), samples: [] as ApplicationSample[] }))
  const installed = new Map<string, Installed>()
  for (const { name, application, place } of applications) installed.set(name, await install(name, place, application))
  for (let round = 1; round <= ROUNDS; round++) {
    say(`applications: round ${round} of ${ROUNDS}`)
    for (const { place, samples } of applications) samples.push(JSON.parse(await ran(process.execPath, ['--expose-gc', 'program.js'], place)))
  }
  await redis?.close()
  return applications.map(({ name, samples }) => ({ name, ...installed.get(name) as Installed, ...mediansOf(samples) }))
}

async function measureServices (hatcheck: string) {
  const place = join(folder, 'service')
  const installed = await installPackages('service', place, [hatcheck])
  const services = Object.entries(SERVICES).map(([name, store]) => ({ name, store, starts: [] as StartSample[] }))
  for (let round = 1; round <= ROUNDS; round++) {
    say(`service: round ${round} of ${ROUNDS}`)
    for (const { store, starts } of services) starts.push(await measureStart(place, store))
  }
  const loads: LoadSample[] = []
  for (const { name, store } of services) {
    say(`${name}: under load`)
    loads.push(await measureLoad(place, store))
  }
  return services.map(({ name, starts }, i) => ({ name, ...installed, start: mediansOf(starts), load: loads[i] as LoadSample }))
}

async function install (name: string, place: string, application: Application): Promise<Installed> {
  const installed = await installPackages(name, place, application.packages)
  writeFileSync(join(place, 'program.js'), programOf(application))
  return installed
}

async function installPackages (name: string, place: string, packages: readonly string[]): Promise<Installed> {
  say(`installing ${name}`)
  mkdirSync(place)
  writeFileSync(join(place, 'package.json'), '{ "type": "module" }')
  await ran('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...packages.map(withVersion)], place)
  const list = await ran('npm', ['ls', '--all', '--parseable'], place)
  return {
    megabytes: Number.parseInt(await ran('du', ['-sk', 'node_modules'], place), 10) / 1_024,
    packages: new Set(list.trim().split('\n').slice(1)).size
  }
}

/** Adds the version that this project has of a package, if it has one. */
function withVersion (name: string): string {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as Record<'dependencies' | 'devDependencies', Record<string, string>>
  const version = dependencies[name] ?? devDependencies[name]
  return version === undefined ? name : `${name}@${version}`
}

async function ran (program: string, args: string[], cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { cwd, env: childEnvironment() })
  return stdout
}

function say (what: string): void {
  process.stderr.write(`${what}\n`)
}
