#!/usr/bin/env python3
"""Packages and publishes models of full size, each figure with its peer in the same run.

    python3 scripts/reference/bench-package.py PLANFORGE FOLDER SEAWEEDFS CEPH LARGE SMALL

Checkpoints are those of random-checkpoint.py, made in FOLDER when they are not there; exports are made first and do not
count. Then

- the archive of LARGE is made anew, against `tar | pigz` at its usual level and at its fastest, over the same files;
- 50 copies of the archive of SMALL are published to servers that run for this, against 50 uploads of it by Python's
  http.client, as many at once as planforge sends; bytes are counted on the way. One upload and 49 copies by http.client
  show what the server itself takes. SeaweedFS writes the bytes of every copy anew; Ceph's RADOS Gateway, as AWS, only
  refers to them. The same once more as over lines of 1 Gbit/s and 100 Mbit/s to the server, as whoever publishes from
  outside has them. CEPH is the folder of Ceph's packages, or `-` to leave it out;
- 50 copies of LARGE are published to a folder: time of the copies and disk space that they take.

Peak memory is that of the process, with the pages of files that it has mapped.
"""

import base64
import concurrent.futures
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

from ceph import Ceph

SCRIPTS = Path(__file__).parent
COPIES, AT_ONCE = 50, 8
# Lines to the server, in bits a second, and how many of the uploads are timed over them; the time of all is in proportion.
LINES = {"1 Gbit/s": (10**9, 50), "100 Mbit/s": (10**8, 5)}
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_EC2_METADATA_DISABLED": "true"}
# How much faster than the peer, most of its size, seconds for copies in a folder, bytes of memory.
ARCHIVE_SPEED, ARCHIVE_SIZE, PUBLISH_SPEED, FOLDER_SECONDS, PEAK = 4, 1.01, 10, 1, 200 * 10**6
peaks = {}


def verdict(holds):
    return "met" if holds else "NOT MET"


def planforge(program, folder, *arguments, environment=None):
    """Wall time and the report."""
    command = [program, *arguments, "--output", folder / "out", "--quiet", "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, env={**os.environ, **(environment or {})})
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {os.waitstatus_to_exitcode(status)}")
    peaks[arguments[0]] = max(peaks.get(arguments[0], 0), usage.ru_maxrss * 1024)
    return seconds, json.loads(output)


def row(report, step):
    found = next(row for row in report["artifacts"] if row["step"] == step)
    assert found["outcome"] == "built", found
    return found["elapsed_seconds"], found["byte_count"]


def write_pipeline(folder, name, store):
    is_text = "bert" in name
    (folder / f"{name}.toml").write_text(
        f'name = "{name}"\ntask = "{"feature-extraction" if is_text else "image-classification"}"\n'
        f'[source]\npath = "{name}"\n[[profiles]]\nbatch = [1, 1, 4]\n{"sequence = [8, 8, 8]" if is_text else ""}\n'
        f'[package]\nplatforms = ["onnx"]\ncopies = {COPIES}\n[store]\nurl = "{store}"\n'
    )


def bench_archive(program, folder, name):
    shutil.rmtree(folder / "out", ignore_errors=True)
    planforge(program, folder, "check", f"{name}.toml")
    _, report = planforge(program, folder, "package", f"{name}.toml")
    seconds, size = row(report, "package")
    archive = folder / "out" / name / "archives" / "onnx-fp32" / f"{name}.tar.gz"
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    print(f"archive of {name}: {size / 1e6:.0f} MB in {seconds:.2f} s")
    for level in (6, 1):
        out = folder / "peer.tar.gz"
        start = time.perf_counter()
        subprocess.run(f'tar -C "{unpacked}" -cf - . | pigz -{level} > "{out}"', shell=True, check=True)
        peer, peer_size = time.perf_counter() - start, out.stat().st_size
        holds = verdict(peer >= ARCHIVE_SPEED * seconds and size <= ARCHIVE_SIZE * peer_size)
        print(
            f"  tar | pigz -{level}: {peer_size / 1e6:.0f} MB in {peer:.2f} s; {peer / seconds:.1f} times as fast, "
            f"{size / peer_size:.3f} of its size (>= {ARCHIVE_SPEED} and <= {ARCHIVE_SIZE}: {holds})",
            flush=True,
        )
        out.unlink()
    shutil.rmtree(unpacked)
    return archive


class Relay:
    """Passes connections on to a server and counts what clients send; no faster than a line of so many bits a second."""

    def __init__(self, port, line=None):
        self.byte_count, self.server, self.line = 0, port, line
        self.free, self.lock = 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.server))
            for one, other, counts in ((client, server, True), (server, client, False)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.copy, args=(one, other, counts), daemon=True).start()

    def copy(self, one, other, counts):
        try:
            while data := one.recv(1 << 16 if self.line and counts else 1 << 20):
                if counts:
                    self.send(len(data))
                other.sendall(data)
        except OSError:
            pass
        for it in (one, other):
            try:
                it.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


    def send(self, count):
        with self.lock:
            self.byte_count += count
            now = time.monotonic()
            self.free = max(self.free, now) + (8 * count / self.line if self.line else 0)
        time.sleep(self.free - now)


def request(port, method, path, body=b"", **headers):
    """Status of a request that is signed in S3's old way, which both servers take."""
    headers = {f"x-amz-{name.replace('_', '-')}": value for name, value in headers.items()}
    date = email.utils.formatdate(usegmt=True)
    lines = [method, "", "", date, *(f"{name}:{headers[name]}" for name in sorted(headers)), path]
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    signature = base64.b64encode(hmac.new(secret, "\n".join(lines).encode(), hashlib.sha1).digest()).decode()
    headers |= {"Date": date, "Authorization": f"AWS {KEYS['AWS_ACCESS_KEY_ID']}:{signature}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def start_server(weed, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    every = ["Admin", "Read", "Write", "List", "Tagging"]
    keys = [{"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}]
    identities = [{"name": "bench", "credentials": keys, "actions": every}, {"name": "anonymous", "actions": every}]
    (folder / "identities.json").write_text(json.dumps({"identities": identities}))
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
    ports = [it.getsockname()[1] for it in held]
    for it in held:
        it.close()
    names = [f"{part}.port{kind}" for kind in ("", ".grpc") for part in ("s3", "master", "volume", "filer")]
    options = [f"-{name}={port}" for name, port in zip(names, ports)]
    server = subprocess.Popen(
        [weed, "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-master.telemetry=false"]
        + ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=0", "-master.volumeSizeLimitMB=4096"]
        + [f"-s3.config={folder}/identities.json", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    deadline = time.monotonic() + 60
    for path in ("/models", "/models/ready"):
        while True:
            try:
                if request(ports[0], "PUT", path) == 200:
                    break
            except OSError:
                pass
            if time.monotonic() > deadline:
                server.kill()
                sys.exit("SeaweedFS does not take objects")
            time.sleep(0.1)
    return server, ports


def timed(work, keys):
    """Seconds that `work` takes for all keys, as many at once as planforge has."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(work, keys))
    assert statuses == [200] * len(keys), statuses
    return time.perf_counter() - start


def bench_bucket(program, folder, name, server, port):
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    # Before the package step, as running the model on its samples takes memory of its own.
    planforge(program, folder, "check", f"{name}.toml")
    planforge(program, folder, "package", f"{name}.toml")
    body = (folder / "out" / name / "archives" / "onnx-fp32" / f"{name}.tar.gz").read_bytes()
    for line, (bits, uploads) in {"": (None, COPIES), **LINES}.items():
        relay = Relay(port, bits)
        through = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
        _, report = planforge(program, folder, "publish", f"{name}.toml", environment=through)
        seconds, size = row(report, "publish")
        sent = relay.byte_count
        paths = [f"/models/peer/{copy}" for copy in range(uploads)]
        peer = timed(lambda path: request(relay.port, "PUT", path, body), paths) * COPIES / uploads
        over = f" over a line of {line}" if line else ""
        print(f"{COPIES} copies of {size / 1e6:.0f} MB on {server}{over}: {seconds:.2f} s, {sent / 1e6:.1f} MB sent "
              f"(once: {verdict(sent < 1.02 * size)})")
        holds = verdict(peer >= PUBLISH_SPEED * seconds)
        timed_share = "" if uploads == COPIES else f", {uploads} of them timed"
        print(f"  {COPIES} uploads, {AT_ONCE} at once{timed_share}: {peer:.2f} s; {peer / seconds:.1f} times as fast "
              f"(>= {PUBLISH_SPEED}: {holds})", flush=True)
        start = time.perf_counter()
        planforge(program, folder, "publish", f"{name}.toml", environment=environment)
        if not line:
            print(f"  the whole command once more, with everything there: {time.perf_counter() - start:.2f} s", flush=True)
        planforge(program, folder, "unpublish", f"{name}.toml", environment=environment)
    bare = timed(lambda path: request(port, "PUT", path, body), ["/models/bare/0"])
    copy = lambda path: request(port, "PUT", path, copy_source="/models/bare/0")
    bare += timed(copy, [f"/models/bare/{copy}" for copy in range(1, COPIES)])
    print(f"  the server's own time, for one upload and {COPIES - 1} copies by http.client: {bare:.2f} s", flush=True)


def bench_seaweedfs(program, folder, weed, name):
    server, ports = start_server(weed, folder / "seaweedfs")
    try:
        bench_bucket(program, folder, name, "SeaweedFS", ports[0])
    finally:
        # Asked to end, it would first wait half a minute for clients.
        server.kill()
        server.wait()
        for port in ports:
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket_file.unlink(missing_ok=True)
        shutil.rmtree(folder / "seaweedfs", ignore_errors=True)


def bench_ceph(program, folder, packages, name):
    server = Ceph(packages, folder / "ceph", KEYS["AWS_SECRET_ACCESS_KEY"])
    try:
        status = request(server.port, "PUT", "/models")
        assert status == 200, f"the bucket was not made: {status}"
        # Ceph makes what it keeps objects and parts in when the first come, which takes it seconds once and for all.
        assert request(server.port, "PUT", "/models/first", b"an object") == 200
        assert request(server.port, "POST", "/models/first?uploads") == 200
        bench_bucket(program, folder, name, "Ceph's RADOS Gateway", server.port)
    finally:
        server.stop()


def bench_folder(program, folder, archive, name):
    _, report = planforge(program, folder, "publish", f"{name}.toml")
    seconds, size = row(report, "publish")
    files = [file.stat() for file in (folder / "store").rglob("*.tar.gz")]
    assert len(files) == COPIES
    # Other programs write to the disk too, so its free space tells nothing.
    there = archive.stat().st_ino
    taken = sum({file.st_ino: file.st_blocks * 512 for file in files if file.st_ino != there}.values())
    holds = verdict(seconds * 1e9 / size < FOLDER_SECONDS and taken == 0)
    print(f"{COPIES} copies of {size / 1e6:.0f} MB in a folder: {seconds:.2f} s, {taken / 1e6:.1f} MB of disk beside "
          f"the archive (< {FOLDER_SECONDS} s for 1 GB and none: {holds})", flush=True)


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    program, folder, weed, ceph = (Path(it).resolve() for it in sys.argv[1:5])
    large, small = sys.argv[5:]
    subprocess.run([sys.executable, SCRIPTS / "random-checkpoint.py", folder, large, small], check=True)
    write_pipeline(folder, large, f"file://{folder}/store")
    write_pipeline(folder, small, "s3://models/bench")
    shutil.rmtree(folder / "store", ignore_errors=True)
    print(f"{os.cpu_count()} processors, {large} and {small} in fp32", flush=True)
    archive = bench_archive(program, folder, large)
    bench_folder(program, folder, archive, large)
    bench_seaweedfs(program, folder, weed, small)
    if sys.argv[4] != "-":
        bench_ceph(program, folder, ceph, small)
    for command in ("package", "publish"):
        holds = verdict(peaks[command] <= PEAK)
        print(f"largest peak memory of planforge {command}: {peaks[command] / 1e6:.0f} MB (<= {PEAK / 1e6:.0f}: {holds})")
    for made in ("out", "store"):
        shutil.rmtree(folder / made, ignore_errors=True)


if __name__ == "__main__":
    main()
