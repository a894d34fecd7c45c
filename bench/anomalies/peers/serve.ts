import { modules, type ModuleName } from './modules.js'

// One peer in a process of its own: node serve.js <module> <variant>. It ends when the script closes its standard input.

const [,, name, variant = ''] = process.argv
process.stdin.resume().on('end', () => { process.exit() })
const { serve } = await modules[name as ModuleName]()
const { FOLDER: folder = '', REDIS: redis = '', POSTGRES: postgres = '', SECRET: secret = '', PORT } = process.env
await serve(variant)({ folder, redis, postgres, secret, port: Number(PORT) })
process.stdout.write('listens\n')
