import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/processes/free-port.js'
import { homePage } from '../page.js'
import { fileOfBench } from '../peers.js'
import { endProcess } from '../processes.js'
import type { Contender } from './contender.js'
import { newSecret } from './secret.js'

const START_MS = 10_000

/**
 * Flask's own session, in a signed cookie, on gunicorn. One worker, since each contender is one process. It has threads: the
 * worker without them closes the connection after each request.
 */
export const flask: Contender = {
  name: 'Flask on gunicorn',
  // Also asks whether gunicorn finds Flask.
  programs: [['gunicorn', '--check-config', 'flask:Flask']],
  // The CPU time of gunicorn's processes comes from /proc.
  platform: 'linux',
  async start ({ dataDir }) {
    // The pages are its templates: nothing in them but the name is special to Jinja.
    writeFileSync(join(dataDir, 'anonymous.html'), homePage(undefined))
    writeFileSync(join(dataDir, 'logged_in.html'), homePage('{{ name }}'))
    const port = await freePort()
    const program = fileOfBench('contenders/flask_app.py')
    const gunicorn = spawn('gunicorn', [
      '--bind', `127.0.0.1:${port}`, '--workers', '1', '--worker-class', 'gthread', '--threads', '4', '--keep-alive', '75', '--log-level', 'error', 'flask_app:app'
    ], { cwd: dirname(program), env: { ...process.env, SECRET_KEY: newSecret(), TEMPLATES: dataDir, PYTHONDONTWRITEBYTECODE: '1' }, stdio: ['ignore', 'ignore', 'inherit'] })
    await once(gunicorn, 'spawn')
    const close = async (): Promise<void> => { await endProcess(gunicorn) }
    try {
      await listening(port)
    } catch (error) {
      await close()
      throw error
    }
    return { port, close }
  }
}

/** Resolves when the worker answers: its application has been loaded. */
async function listening (port: number): Promise<void> {
  const signal = AbortSignal.timeout(START_MS)
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/verify`, { signal }).catch(() => null)
    if (response !== null) return
    signal.throwIfAborted()
    await sleep(20)
  }
}
