"""A private MariaDB server on a free port, with full durability, that tests may kill, freeze and
start again.

With `OMNI_TEST_MYSQLD` in the environment, the path of Oracle MySQL's `mysqld` (8.0.30 or later),
it is that server instead.
"""

import atexit
import functools
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

from tests.kit.ports import free_port
from tests.kit.processes import NotReady, ServerProcess, find_program

USER = "omni"
PASSWORD = "secret"
PLAIN_USER = "application"
_INIT_SQL = f"""\
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;
"""
_MYSQLD = os.environ.get("OMNI_TEST_MYSQLD")
_LOG_SIZE = "--innodb-redo-log-capacity=64M" if _MYSQLD else "--innodb-log-file-size=32M"
_COMMON_OPTIONS = (_LOG_SIZE, "--innodb-buffer-pool-size=64M")


def is_oracle_mysql() -> bool:
    """Whether `OMNI_TEST_MYSQLD` names Oracle's server, which has other words and other variables
    than MariaDB.
    """
    return _MYSQLD is not None


def has_mariadb() -> bool:
    """True if the server's programs are installed."""
    return _server_program() is not None and (
        _MYSQLD is not None or _installer_program() is not None
    )


class MariaDB(ServerProcess):
    """MariaDB with a data directory of its own. `start()` first; `close()` removes everything."""

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        """`options`: further server options, such as `{"max-connections": "20"}`."""
        self.directory = Path(tempfile.mkdtemp(prefix="omni-mariadb-"))
        self.port = free_port()
        self._names = itertools.count(1)
        subprocess.run(["cp", "-a", "--sparse=always", f"{_template()}/.", self._data], check=True)
        (self.directory / "init.sql").write_text(_INIT_SQL)
        super().__init__(
            self._arguments(options or {}),
            log_path=self.directory / "mariadb.log",
            is_ready=self._answers,
        )

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def data_path(self) -> Path:
        return self._data

    def create_database(self) -> str:
        """A new, empty utf8mb4 database; returns its URL
        (`mysql://omni:secret@127.0.0.1:port/name`).
        """
        name = f"omni_{next(self._names)}_{secrets.token_hex(3)}"
        self.sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)

    def url(self, database: str) -> str:
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def plain_url(self, database: str) -> str:
        """The URL of a user who may do everything in that database and nothing to the server, as
        production has it.

        Unlike the administrator of `url`, that user is bound by `read_only`.
        """
        self.sql(f"CREATE USER IF NOT EXISTS '{PLAIN_USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        self.sql(f"GRANT ALL ON `{database}`.* TO '{PLAIN_USER}'@'%'")
        return self.url(database).replace(f"//{USER}:", f"//{PLAIN_USER}:")

    def sql(
        self, text: str, *parameters: object, database: str | None = None, user: str = USER
    ) -> list[dict[str, Any]]:
        """Run one statement, as administrator unless another user is named, on a connection of its
        own, committed at once; `%s` marks parameters.
        """
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user=user,
                password=PASSWORD,
                database=database,
                autocommit=True,
                connect_timeout=5,
                cursorclass=pymysql.cursors.DictCursor,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(text, parameters or None)
            return list(cursor.fetchall())

    def drop_connections(self, user: str = USER) -> int:
        """KILL every connection of that user but the one that does it; returns how many."""
        own = (
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND "
            "user = %s"
        )
        killed = 0
        for row in self.sql(own, user):
            try:
                self.sql(f"KILL {int(row['id'])}")
            except pymysql.err.OperationalError:
                continue  # gone by itself in between
            killed += 1
        return killed

    def close(self) -> None:
        """Kill the server and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except pymysql.err.Error:
            return False
        return True

    def _arguments(self, options: Mapping[str, str]) -> list[str]:
        settings = {
            "datadir": str(self._data),
            "tmpdir": str(self.directory),
            "socket": str(self.directory / "s"),
            "pid-file": str(self.directory / "pid"),
            "init-file": str(self.directory / "init.sql"),
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "character-set-server": "utf8mb4",
            "max-connections": "300",
            # a commit that was answered is on disk: the promises under test stand on it
            "innodb-flush-log-at-trx-commit": "1",
            **options,
        }
        return [
            _required(_server_program()),
            "--no-defaults",
            "--skip-name-resolve",
            *(
                ["--mysqlx=OFF", "--secure-file-priv=NULL", "--explain-format=TRADITIONAL"]
                if _MYSQLD
                else []
            ),
            *_user_option(),
            *_COMMON_OPTIONS,
            *(f"--{name}={value}" for name, value in settings.items()),
        ]


@functools.cache
def _template() -> Path:
    """An initialised data directory, made once per test run: making one takes seconds, copying it
    does not.
    """
    directory = Path(tempfile.mkdtemp(prefix="omni-mariadb-template-"))
    # not the machine's: a server that starts meanwhile, another run's perhaps, removes the
    # temporary tables of all that share one
    scratch = Path(tempfile.mkdtemp(prefix="omni-mariadb-scratch-"))
    for made in (directory, scratch):
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    done = subprocess.run(
        _installation(directory, scratch), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotReady(
            f"making a data directory ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return directory


def _installation(directory: Path, scratch: Path) -> list[str]:
    always = [
        "--no-defaults",
        f"--datadir={directory}",
        f"--tmpdir={scratch}",
        *_user_option(),
        *_COMMON_OPTIONS,
    ]
    if _MYSQLD:
        return [_MYSQLD, *always, "--initialize-insecure"]
    return [
        _required(_installer_program()),
        *always,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]


def _server_program() -> str | None:
    return _MYSQLD or find_program("mariadbd", "mysqld")


def _installer_program() -> str | None:
    return find_program("mariadb-install-db", "mysql_install_db")


def _required(program: str | None) -> str:
    if program is None:
        raise NotReady("MariaDB is not installed (Debian package mariadb-server)")
    return program


def _user_option() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
