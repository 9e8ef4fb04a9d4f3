"""A throwaway PostgreSQL for tests, started as somebody else when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.servers import Server, free_port, wait_until


class PostgresCluster:
    """A throwaway PostgreSQL on loopback that forgets everything when it stops; `of` makes it the standby of another."""

    def __init__(self, programs: Path, *, of: PostgresCluster | None = None, **settings: object) -> None:
        self._programs = programs
        self._settings = settings
        self._folder = Path(
            tempfile.mkdtemp(prefix="relay-postgres-")
        )  # pytest's own folders are closed to other users
        self._databases = 0
        self.port = 0
        self.own(self._folder)
        if of is None:
            self._run(
                "initdb", "-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
                "-N",
            )  # fmt: skip
        else:
            self._run(
                "pg_basebackup", "-D", "data", "-h", "127.0.0.1", "-p", str(of.port), "-U", "postgres", "--no-sync",
                "--checkpoint=fast", "--write-recovery-conf",
            )  # fmt: skip
        self._log = self._folder / "output.log"
        self.port, self._process = self._start()

    @property
    def folder(self) -> Path:
        """Where the server runs and may read."""
        return self._folder

    @staticmethod
    def own(path: Path) -> None:
        """Makes a file or folder the server's, which runs as somebody else when we are root."""
        if user := unprivileged_user():
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)

    def create_database(self) -> str:
        """The address of a new, empty database."""
        self._databases += 1
        name = f"relay_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drops it, whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Runs one statement as the superuser."""
        self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qc", statement)

    def kill(self) -> None:
        """At once, as a host that loses its power."""
        Server("", self._process, self._log).stop(signal.SIGQUIT)

    def start_again(self) -> None:
        """After a `kill`, at the same address and with all that was committed."""
        self.port, self._process = self._start(self.port)

    def stop(self) -> None:
        self.kill()  # nothing of it is kept
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, again: int | None = None) -> tuple[int, subprocess.Popen[bytes]]:
        for _ in range(3):
            port = again or free_port()
            settings: dict[str, object] = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": "",
                "max_connections": 200,
            }
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **self._settings}
            options = [f"--{name}={value}" for name, value in settings.items()]
            with self._log.open("ab") as output:
                process = subprocess.Popen(
                    self._command("postgres", "-D", "data", *options),
                    cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                )  # fmt: skip
            try:
                wait_until(lambda chosen=port: self._accepts(chosen), "PostgreSQL", process)  # type: ignore[misc]  # as default
            except RuntimeError:
                Server("", process, self._log).stop(signal.SIGQUIT)
            else:
                return port, process
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}")

    def _accepts(self, port: int) -> bool:
        words = [str(self._programs / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qc", "SELECT 1"]
        run = subprocess.run(
            words, check=False, env=self._environment, cwd=self._folder, capture_output=True, timeout=20
        )
        return run.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        run = subprocess.run(
            command, check=False, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=60
        )
        if run.returncode:
            raise RuntimeError(f"{program} ended with {run.returncode}:\n{run.stderr}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        return unprivileged(str(self._programs / program), *arguments)

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(self._folder)}


def unprivileged(*words: str) -> list[str]:
    """The command, run by somebody else when we are root."""
    user = unprivileged_user()
    if user is None:
        return list(words)
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", *words]


def unprivileged_user() -> str | None:
    """Whom PostgreSQL and PgBouncer run as when we are root, which they refuse; None when we are not."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
