"""Whom Postgres runs as: ourselves, but for root, whom Postgres refuses to serve."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from connectors.embedded.errors import ServerError

ACCOUNT_NAME = "pgserver"
"""The name that the Postgres wheel's own launcher uses, so that a machine gets one such account, not two."""
ACCOUNT_NAME_FALLBACK = "nobody"
USERADD_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the operating system."""

    name: str
    user_id: int
    group_id: int


def postgres_account() -> Account | None:
    """Return whom to become to run Postgres; None when we are not root and need not change.

    As root this makes the account `pgserver` if the system has none, and takes `nobody` where no account
    can be made (no useradd, a read-only /etc): Postgres wants a user that the system knows by name.
    """
    if os.geteuid() != 0:
        return None
    if shutil.which("useradd") and not _exists(ACCOUNT_NAME):
        # Whether it worked is seen by looking again: another process may have made it meanwhile.
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
            capture_output=True,
            timeout=USERADD_TIMEOUT_S,
            check=False,
        )
    for name in (ACCOUNT_NAME, ACCOUNT_NAME_FALLBACK):
        if _exists(name):
            entry = pwd.getpwnam(name)
            return Account(name=name, user_id=entry.pw_uid, group_id=entry.pw_gid)
    raise ServerError(
        f"Postgres does not run as root, and there is neither useradd nor an account "
        f"{ACCOUNT_NAME!r} or {ACCOUNT_NAME_FALLBACK!r} to run it as"
    )


def own(path: Path, account: Account) -> None:
    """Give `path` to the account, for it alone."""
    os.chown(path, account.user_id, account.group_id)
    path.chmod(0o700)


def let_through(path: Path) -> None:
    """Let other accounts pass (not list) the directories above `path`, where one keeps them out.

    Needed because Postgres, as its own account, opens its data and its libraries by absolute path.
    """
    for directory in path.absolute().parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
