import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import hatcheck from 'hatcheck'
import { AppModule } from './app.module.js'
import { LoginRequiredFilter } from './login.js'

const { SECRET_KEY: secretKey, PORT = '3000' } = process.env
if (secretKey === undefined) throw new Error('Set SECRET_KEY to a random key: npx hatcheck secret prints one.')

const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), { logger: ['error', 'warn'] })
// signup is open so that the commands in the README need no account.
await app.register(hatcheck, { secretKey, routes: ['login', 'logout', 'sessions'], signup: 'open' })
app.useGlobalFilters(new LoginRequiredFilter())
app.enableShutdownHooks()
await app.listen(Number(PORT), '127.0.0.1')
console.log(`listening at ${await app.getUrl()}`)
