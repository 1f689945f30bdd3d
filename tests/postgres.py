"""A PostgreSQL server of Debian's package, started for a test run or a benchmark and stopped after it.

It listens on a socket in a directory of its own and nowhere else.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

# As on users' servers, texts are not ordered by their bytes.
_INIT = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync")
_START_SECONDS = 30.0


class NoServer(Exception):
    """The package ``postgresql`` is not installed."""


def binaries() -> Path:
    """Where the newest installed server's programs are.

    Raises:
        NoServer: there is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise NoServer("there is no PostgreSQL server in /usr/lib/postgresql: install Debian's package postgresql")
    return found[-1].parent


@contextmanager
def server(**settings: str) -> Iterator[sa.URL]:
    """A running server with these settings; gives the URL of its database ``postgres``.

    Raises:
        NoServer: it is not installed.
    """
    programs = binaries()
    user = _user()
    # Not below pytest's directory: the path of a socket may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="edgekit-pg-", dir="/tmp"))
    try:
        if user:
            os.chown(folder, user["user"], user["group"])
        quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, **user}
        subprocess.run([programs / "initdb", *_INIT, "-D", folder / "data"], check=True, timeout=120, **quiet)
        given = {"listen_addresses": "", "unix_socket_directories": str(folder), **settings}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *options], stderr=log, **quiet
            )  # fmt: skip
        try:
            url = sa.URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(folder)})
            _wait(url, process, folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # ends the sessions and stops
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder)


def _user() -> dict[str, Any]:
    """The server refuses to run as root; the package has made a user for it."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait(url: sa.URL, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            engine.connect().close()
            return
        except exc.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the PostgreSQL server did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.05)


def new_database(server_url: sa.URL, name: str) -> str:
    """Makes an empty database; gives its URL, as a user would write it."""
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    return server_url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
