"""How the store gets on with PostgreSQL itself: conflicts, poolers in between, TLS, a server that is not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from relay.store.database import Connection, Database, StoreUnavailable
from relay.store.postgres import RETRIES, open_line
from tests import programs
from tests.fakes.certificates import server_context
from tests.pooler import open_pooler
from tests.postgres_server import PostgresCluster
from tests.relays import query
from tests.servers import free_port
from tests.state import postgres_engine

SETTINGS = "idle_in_transaction_session_timeout,lock_timeout,jit"


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03"])
async def test_a_conflict_is_tried_three_times_again_and_then_left_to_the_sender(postgres_url: str, code: str) -> None:
    database = Database(postgres_engine(postgres_url))
    await database.start()
    tries = 0

    def conflict(conn: Connection) -> None:
        nonlocal tries
        tries += 1
        conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END $$"))

    with pytest.raises(StoreUnavailable, match="others were in the way"):
        await database.write(conflict)
    assert tries == 1 + RETRIES
    await database.close()


@pytest.mark.parametrize("code", ["53100", "57P01", "25006", "58030", "XX001"])
async def test_what_is_the_servers_fault_makes_the_sender_come_again(postgres_url: str, code: str) -> None:
    """Disk full, shut down, a standby, an I/O error, a broken page."""
    database = Database(postgres_engine(postgres_url))
    await database.start()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
        await database.write(
            lambda conn: conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"))
        )
    await database.close()


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = f"postgresql://relay:secret-word@127.0.0.1:{free_port()}/relay"
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:\d+: ConnectionRefusedError") as caught:
        await Database(postgres_engine(url)).start()
    assert "secret-word" not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        await open_line(url, print)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("ignored", ["", SETTINGS], ids=["strict", "lenient"])
async def test_a_pooler_is_refused_with_the_reason(postgres_url: str, mode: str, ignored: str) -> None:
    with open_pooler(postgres_url, mode=mode, ignored=ignored) as url:
        with pytest.raises(StoreUnavailable, match=r"is a connection pooler .* Give the address of the server itself"):
            await Database(postgres_engine(url)).start()
        assert await query(url, "SELECT 1") == [(1,)]  # others get through


async def test_tls_is_checked_as_the_address_says(own_postgres: PostgresCluster, tmp_path: Path) -> None:
    url = own_postgres.create_database()
    server_context(tmp_path, name="other")
    database = Database(
        postgres_engine(f"{url}?sslmode=verify-full&sslrootcert={own_postgres.folder / 'localhost.pem'}")
    )
    await database.start()
    encrypted = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert await database.read(lambda conn: conn.execute(encrypted).scalar()) is True
    await database.close()
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        await Database(postgres_engine(f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'other.pem'}")).start()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresCluster]:
    """A server of its own that speaks TLS."""
    server_context(tmp_path)
    cluster = PostgresCluster(programs.find_postgres())
    for name in ("localhost.pem", "localhost.key"):
        copy = shutil.copy(tmp_path / name, cluster.folder / name)
        cluster.own(Path(copy))
    for setting, name in (("ssl_cert_file", "localhost.pem"), ("ssl_key_file", "localhost.key")):
        cluster.execute(f"ALTER SYSTEM SET {setting} = '{cluster.folder / name}'")
    cluster.execute("ALTER SYSTEM SET ssl = on")
    cluster.execute("SELECT pg_reload_conf()")
    yield cluster
    cluster.stop()
