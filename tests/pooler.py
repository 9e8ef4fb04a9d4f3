"""A real PgBouncer in front of a database."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests import programs
from tests.postgres_server import PostgresCluster, unprivileged
from tests.servers import Server, free_port, wait_until


@contextmanager
def open_pooler(database: str, *, mode: str, ignored: str = "") -> Iterator[str]:
    """The address of the database behind a pooler of that `pool_mode`; `ignored` settings of a session are dropped."""
    there = urlsplit(database)
    name, port = there.path.strip("/"), free_port()
    folder = Path(tempfile.mkdtemp(prefix="relay-pooler-"))
    (folder / "pooler.ini").write_text(f"""
[databases]
{name} = host={there.hostname} port={there.port} dbname={name} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = {ignored}
""")
    for path in (folder, folder / "pooler.ini"):
        PostgresCluster.own(path)
    log = folder / "output.log"
    program = str(programs.find("pgbouncer", "pgbouncer"))
    with log.open("ab") as output:
        process = subprocess.Popen(unprivileged(program, str(folder / "pooler.ini")), stdout=output, stderr=output)
    try:
        wait_until(lambda: _accepts(port), "PgBouncer", process)
        yield f"postgresql://postgres@127.0.0.1:{port}/{name}"
    finally:
        Server("", process, log).stop(signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
