"""The private servers come back on the same port, with their data where they have any."""

import functools

import pymysql
import pytest

from tests.kit.eventually import eventually_sync
from tests.kit.mariadb import MariaDB
from tests.kit.ports import accepts_connections
from tests.kit.redis import Redis


def test_mariadb_keeps_committed_rows_through_kill(mariadb: MariaDB) -> None:
    """A row committed before kill -9 is there after the restart on the same port."""
    name = mariadb.create_database().rpartition("/")[2]
    mariadb.sql("CREATE TABLE kept (id INT PRIMARY KEY, text VARCHAR(20))", database=name)
    mariadb.sql("INSERT INTO kept VALUES (%s, %s)", 1, "🐦", database=name)
    port = mariadb.port
    mariadb.kill()
    assert not accepts_connections(port)
    mariadb.restart()
    assert mariadb.port == port
    assert mariadb.sql("SELECT * FROM kept", database=name) == [{"id": 1, "text": "🐦"}]


def test_mariadb_is_durable(mariadb: MariaDB) -> None:
    """The server under test flushes at every commit, as production is asked to."""
    assert mariadb.sql("SELECT @@innodb_flush_log_at_trx_commit AS value") == [{"value": 1}]


def test_mariadb_databases_are_apart(mariadb: MariaDB) -> None:
    """Each test gets a database of its own."""
    assert mariadb.create_database() != mariadb.create_database()


def test_mariadb_drops_connections(mariadb: MariaDB) -> None:
    """A client whose connection was killed by the server notices."""
    with pymysql.connect(
        host="127.0.0.1", port=mariadb.port, user="omni", password="secret"
    ) as connection:
        # a server that other tests share may hold some as well
        assert mariadb.drop_connections() >= 1
        with pytest.raises(pymysql.err.OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_redis_restarts_on_its_port(redis_server: Redis) -> None:
    """After kill -9 the address is dead, after the restart it answers."""
    redis_server.kill()
    assert not accepts_connections(redis_server.port)
    redis_server.restart()
    assert redis_server.command("PING") == "+PONG\r\n"


def test_redis_freezes_and_thaws(redis_server: Redis) -> None:
    """A frozen server accepts connections and answers nothing, until it is thawed."""
    redis_server.freeze()
    assert accepts_connections(redis_server.port)
    redis_server.thaw()
    assert eventually_sync(lambda: redis_server.command("PING") == "+PONG\r\n")


def test_a_shared_server_is_well_again(redis_server: Redis) -> None:
    """What one test broke does not reach the next."""
    redis_server.kill()
    redis_server.ensure_running()
    redis_server.freeze()
    redis_server.ensure_running()
    assert redis_server.is_running
    assert redis_server.command("PING") == "+PONG\r\n"


def test_mariadb_as_an_application_s_user_sees_it(mariadb: MariaDB) -> None:
    """`read_only` holds for the plain user as for production's, and for the administrator it does
    not.
    """
    name = mariadb.create_database().rpartition("/")[2]
    assert mariadb.plain_url(name).endswith(f"@127.0.0.1:{mariadb.port}/{name}")
    mariadb.sql("CREATE TABLE kept (id INT PRIMARY KEY)", database=name)
    plain = functools.partial(pymysql.connect, user="application", password="secret")
    with (
        plain(host="127.0.0.1", port=mariadb.port, database=name, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("INSERT INTO kept VALUES (1)")
        mariadb.sql("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(pymysql.err.OperationalError, match="read-only"):
                cursor.execute("INSERT INTO kept VALUES (2)")
            mariadb.sql("INSERT INTO kept VALUES (3)", database=name)
        finally:
            mariadb.sql("SET GLOBAL read_only = 0")
