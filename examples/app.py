"""An application without logins of its own: it trusts the identity headers of the proxy in front of it.

It shows the name of the user and every identity header of the request.
"""
import html
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PAGE = '''<!doctype html>
<title>An application</title>
<h1>Hello {name}</h1>
<pre>{method} {path}
{headers}</pre>
<form method="post" action="/logout"><button>Log out</button></form>
'''


class Application(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server_version = 'app'
    # Sends head and body in one packet: the second of two small packets would be delayed.
    wbufsize = -1

    def answer(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        # The name is percent-encoded, because a header cannot contain all letters.
        name = unquote(self.headers.get('Remote-User', ''))
        claims = [f'{key}: {value}' for key, value in self.headers.items() if key.lower().startswith('remote')]
        page = PAGE.format(name=html.escape(name), method=self.command, path=html.escape(self.path), headers=html.escape('\n'.join(claims)))
        body = page.encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        # The page is only for this user.
        self.send_header('Cache-Control', 'no-store')
        if 'Transfer-Encoding' in self.headers:
            # The body is not read, so what follows on the connection is no request.
            self.send_header('Connection', 'close')
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


class Server(ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, request, client_address):
        # A proxy may reset a connection that it no longer needs.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


# On loopback, so that only the proxy can reach it.
port = int(sys.argv[1]) if len(sys.argv) > 1 else 3001
print(f'the application listens at http://127.0.0.1:{port}', flush=True)
Server(('127.0.0.1', port), Application).serve_forever()
