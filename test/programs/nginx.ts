import { execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { acceptsConnections, endWith } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import type { Lifetime } from '../processes/scope.js'
import { until } from '../time/loop-clock.js'

/**
 * A real nginx on loopback, on its own port, in one process. It ends with the test.
 *
 * @param http the content of its `http` block
 * @param server the content of its only `server` block
 * @returns its address
 */
export async function startNginx (t: Lifetime, { http = '', server }: { http?: string, server: string }): Promise<string> {
  const [folder, port] = [t.testdir(), await freePort()]
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path "${folder}/${name}";`).join('\n')
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, `daemon off;
master_process off;
pid "${folder}/nginx.pid";
error_log stderr error;
events {}
http {
access_log off;
${places}
${http.replaceAll('FOLDER', folder)}
server {
listen 127.0.0.1:${port};
${server}
}
}
`)
  await promisify(execFile)('nginx', ['-t', '-e', 'stderr', '-p', folder, '-c', file])
  const child = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', file], { stdio: ['ignore', 'ignore', 'inherit'] })
  endWith(t, child)
  await until('nginx answers', async () => {
    if (child.exitCode !== null) throw new Error('nginx ended')
    return await acceptsConnections(port)
  })
  return `http://127.0.0.1:${port}`
}
