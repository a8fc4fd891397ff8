"""A gunicorn whose workers are replaced after some requests. The requests are made here; every answer is checked to its end.

Arguments: the folder that has gunicorn. Master and workers are children of this program.
"""

import http.client
import signal
import subprocess

SITE = sys.argv[1]
SERVER = """
import sys
sys.path.insert(0, %r)
from gunicorn.app.base import BaseApplication

def application(environ, start_response):
    size = int(environ["PATH_INFO"].strip("/"))
    text = b"".join(b"%%d " %% number for number in range(size))
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]

class Server(BaseApplication):
    def load_config(self):
        for name, value in dict(bind="127.0.0.1:0", workers=2, max_requests=20, max_requests_jitter=10, timeout=90,
                                loglevel="info").items():
            self.cfg.set(name, value)

    def load(self):
        return application

Server().run()
""" % SITE
# What gunicorn says when all is well.
FINE = ("Starting gunicorn", "Listening at", "Using worker", "Booting worker", "Autorestarting worker", "Worker exiting",
        "Handling signal: term", "Shutting down", "Control socket")
port = [None]
started = threading.Event()


def log():
    for line in server.stderr:
        line = line.decode()
        if "Listening at" in line:
            port[0] = int(line.split("127.0.0.1:")[1].split()[0])
        if "Booting worker" in line:
            counted("workers")
            started.set()
        # A worker that has no handler yet when all is ended.
        late = "was sent SIGTERM" in line and not running()
        if not late and not any(words in line for words in FINE):
            harm("gunicorn says " + line)


def requests(first):
    number = first
    started.wait()
    while running():
        number += 1
        size = number * 37 % 3000
        connection = http.client.HTTPConnection("127.0.0.1", port[0], timeout=90)
        connection.request("GET", "/%d" % size)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or body != b"".join(b"%d " % number for number in range(size)):
            harm("status %d, %d bytes: %r" % (answer.status, len(body), body[:80]))
        connection.close()
        counted("requests %d" % first)


def start():
    if not started.wait(60):
        harm("gunicorn does not start")


def stop():
    server.send_signal(signal.SIGTERM)
    status = server.wait(60)
    reader.join()
    server.stderr.close()
    if status != 0:
        harm("gunicorn ended with status %d" % status)


server = subprocess.Popen([sys.executable, "-c", SERVER], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
reader = threading.Thread(target=log, daemon=True)
reader.start()
for number in (1, 2, 3):
    worker(requests, number * 1000)
serve(start=start, stop=stop)
