"""`planforge host` on a free port of 127.0.0.1."""

import http.client
import json
import select
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

# Longest waits, in seconds: for a command of planforge, for an endpoint to be ready, and for it to end.
COMMAND, READY, END = 300, 180, 60

# Limit of the descriptors of an endpoint's process, and the connections that it takes then.
DESCRIPTORS = 512
CONNECTIONS = DESCRIPTORS // 2


def planforge(program, *arguments, folder):
    """Runs planforge in `folder`; it must succeed."""
    command = [program, *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=COMMAND, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"`planforge {' '.join(arguments)}` ended with code {ended.returncode}:\n{ended.stderr}")
    return ended.stdout


@contextmanager
def local_endpoint(program, pipeline, container, folder):
    """The address (`127.0.0.1:port`) of an endpoint that runs until the end of the block."""
    log = folder / f"host-{container}.log"
    arguments = ["host", pipeline, "--container", container, "--port", "0", "--json"]
    with log.open("w") as errors:
        command = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", program, *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        readable, _, _ = select.select([process.stdout], [], [], READY)
        line = process.stdout.readline() if readable else ""
        if not line:
            raise RuntimeError(f"`planforge {' '.join(arguments)}` was not ready:\n{log.read_text()}")
        yield json.loads(line)["url"].removeprefix("http://")
    finally:
        end(process)
        process.stdout.close()


def end(process):
    """Ends a process as Ctrl-C does, and one that goes on with SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END)
        raise


class Occupied:
    """All connections that an endpoint takes, until they are released. A further one gets the status 503."""

    def __init__(self, address):
        self.address = address
        self.connections = []
        for _ in range(CONNECTIONS):
            self.add()
        deadline = time.monotonic() + 10
        while (status := status_of(address)) != 503:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(self.connections)} connections do not occupy the endpoint")
            if status == 200:
                self.add()

    def add(self):
        """Opens one more."""
        host, port = self.address.split(":")
        self.connections.append(socket.create_connection((host, int(port)), timeout=10))

    def release(self):
        """Closes the connections, and waits until the endpoint has closed them too."""
        for connection in self.connections:
            # The endpoint may have closed it before.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            connection.close()
        self.connections = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()


def status_of(address):
    """The status of the endpoint's answer to a ping, or None where it closes the connection."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
