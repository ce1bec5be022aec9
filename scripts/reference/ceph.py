"""A Ceph cluster on 127.0.0.1 for as long as a benchmark takes: one monitor, one store of objects in a file, and a RADOS
Gateway that speaks as S3 does. The programs are those that scripts/bench unpacks; nothing of the system is used or changed.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

PATIENCE = 90
USER = "bench"

CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
# Only this machine reaches it.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms client mode = crc
ms service mode = crc
ms cluster mode = crc
run dir = {folder}
crash dir = {folder}
log file = {folder}/$type.log
mon cluster log file = {folder}/cluster.log
admin socket =
pid file =
erasure code dir = {libraries}/ceph/erasure-code
plugin dir = {libraries}/ceph
osd class dir = {libraries}/rados-classes
osd class load list = *
osd class default list = *
# One copy of everything.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
osd objectstore = bluestore
bluestore block size = 21474836480
osd memory target = 1073741824
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[client.admin]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
"""


class Ceph:
    """A running cluster with a user; `port` is the gateway's."""

    def __init__(self, packages, folder, secret):
        self.root, self.folder, self.running = Path(packages), Path(folder), []
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("mon", "osd", "rgw"):
            (self.folder / part).mkdir(parents=True)
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        new, old, self.port = (it.getsockname()[1] for it in held)
        for it in held:
            it.close()
        self.fsid, monitor = str(uuid.uuid4()), f"[v2:127.0.0.1:{new},v1:127.0.0.1:{old}]"
        libraries = self.root / "usr/lib/x86_64-linux-gnu"
        configuration = self.folder / "ceph.conf"
        configuration.write_text(
            CONFIGURATION.format(
                fsid=self.fsid, monitor=monitor, folder=self.folder, libraries=libraries, port=self.port
            )
        )
        paths = [libraries, libraries / "ceph", self.root / "lib/x86_64-linux-gnu"]
        self.environment = {
            **os.environ, "CEPH_CONF": str(configuration), "LD_LIBRARY_PATH": ":".join(map(str, paths))
        }
        try:
            self.start(monitor, secret)
        except BaseException:
            self.stop()
            raise

    def start(self, monitor, secret):
        monitors = self.folder / "monmap"
        self.run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", monitor, monitors)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        self.spawn("ceph-mon", "-i", "a")
        store = str(uuid.uuid4())
        self.tell({"prefix": "osd new", "uuid": store})
        self.tell({"prefix": "osd crush add", "id": 0, "weight": 1.0, "args": ["root=default", "host=localhost"]})
        self.run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", store)
        self.spawn("ceph-osd", "-i", "0")
        keys = ["--access-key", USER, "--secret-key", secret]
        self.run("radosgw-admin", "user", "create", "--uid", USER, "--display-name", USER, *keys)
        self.spawn("radosgw", "-n", "client.admin")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the gateway does not answer; its log is {self.folder}/client.log")
                time.sleep(0.1)

    def program(self, name):
        return self.root / "usr/bin" / name

    def run(self, name, *arguments):
        command = [self.program(name), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")

    def spawn(self, name, *arguments):
        with open(self.folder / f"{name}.out", "w") as out:
            command = [self.program(name), "-f", *arguments]
            self.running.append(subprocess.Popen(command, env=self.environment, stdout=out, stderr=out))

    def tell(self, command):
        """Has the monitor do something; in a process of its own, which finds the libraries."""
        told = [sys.executable, __file__, json.dumps(command)]
        done = subprocess.run(told, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")

    def stop(self):
        for process in reversed(self.running):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def tell_monitor(command):
    rados = ctypes.CDLL("librados.so.2")
    cluster = ctypes.c_void_p()

    def check(status, text=b""):
        if status < 0:
            sys.exit(f"{os.strerror(-status)} {text.decode()}")

    check(rados.rados_create(ctypes.byref(cluster), b"admin"))
    check(rados.rados_conf_read_file(cluster, None))
    check(rados.rados_connect(cluster))
    commands = (ctypes.c_char_p * 1)(command.encode())
    output, text = ctypes.c_char_p(), ctypes.c_char_p()
    sizes = [ctypes.byref(ctypes.c_size_t()) for _ in range(2)]
    answer = [ctypes.byref(output), sizes[0], ctypes.byref(text), sizes[1]]
    check(rados.rados_mon_command(cluster, commands, ctypes.c_size_t(1), b"", ctypes.c_size_t(0), *answer), text.value or b"")
    rados.rados_shutdown(cluster)


if __name__ == "__main__":
    tell_monitor(sys.argv[1])
