# Flask with its own session in the cookie, or Flask-Session on Redis. See visit.ts for the routes.
import os
import sys
import threading
import urllib.request

from flask import Flask, request, session
from werkzeug.serving import make_server

KEYS = ['a', 'b', 'owner']
# The gate that one request is to meet at a write, and how many writes come before it. Each request has a thread.
requests = threading.local()


def pass_gate(gate):
    urllib.request.urlopen(f"{os.environ['GATES']}/{gate}").read()


class Gated:
    """Puts a gate before the writes of a Redis client."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if name not in ('setex', 'set', 'delete'):
            return method

        def call(*args, **named):
            armed = getattr(requests, 'armed', None)
            if armed is not None:
                if armed[1] == 0:
                    requests.armed = None
                    pass_gate(armed[0])
                else:
                    armed[1] -= 1
            return method(*args, **named)
        return call


app = Flask(__name__)
app.config['SECRET_KEY'] = os.environ['SECRET']
if sys.argv[1] == 'flask-session':
    import redis
    from flask_session import Session
    app.config.update(SESSION_TYPE='redis', SESSION_REDIS=Gated(redis.Redis.from_url(os.environ['REDIS'])))
    Session(app)


@app.route('/<operation>', methods=['GET', 'POST'])
@app.route('/<operation>/<first>', methods=['GET', 'POST'])
@app.route('/<operation>/<first>/<second>', methods=['GET', 'POST'])
def perform(operation, first='', second=''):
    gate, at = request.args.get('gate'), request.args.get('at')
    session.get('user')
    requests.armed = None
    if at == 'begin':
        pass_gate(gate)
    if at in ('store', 'store2'):
        requests.armed = [gate, 0 if at == 'store' else 1]
    if operation == 'set':
        session[first] = second
    elif operation == 'login':
        # As the tutorial of Flask logs in and out.
        session.clear()
        session['user'] = first
        if second != '':
            session['owner'] = second
    elif operation == 'logout':
        session.clear()
    elif operation == 'touch':
        # The cookie of a permanent session is sent with every response.
        session.permanent = True
    if at == 'end':
        pass_gate(gate)
    if operation != 'read':
        return {'user': None, 'values': {}}
    return {'user': session.get('user'), 'values': {key: session[key] for key in KEYS if key in session}}


server = make_server('127.0.0.1', int(os.environ['PORT']), app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('listens', flush=True)
sys.stdin.read()
