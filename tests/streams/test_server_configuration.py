"""The file of MCP servers: what it may say, and what is told of what it may not."""

from pathlib import Path

import pytest

from connectors.mcp.server import Credentials, Endpoint, Program, SecretMissing
from streams.configuration import secrets
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.servers import acceptance_path, load_accepted, load_servers

WHOLE = """
[servers.notes]
command = ["/usr/bin/node", "/opt/notes/index.js", "/srv/notes"]
environment = { LANGUAGE = "en" }
secrets = { NOTES_TOKEN = "env:NOTES_TOKEN" }
code = ["/opt/notes"]
write = ["notes"]
tenants = ["default", "acme"]
safety_level = "caution"

[servers.notes.tenant.acme]
secrets = { NOTES_TOKEN = "file:/run/secrets/acme" }

[servers.notes.tool.read_note]
safety_level = "safe"
idempotent = true
timeout_ms = 5_000

[servers.notes.tool.send_note]
reconciler = "was_sent"

[servers.tickets]
url = "https://mcp.example/mcp"
bearer = "env:TICKETS_TOKEN"
"""


def written(folder: Path, text: str) -> Path:
    """Return a file of servers with this text, which its owner alone may write."""
    path = folder / "mcp.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    servers = load_servers(written(tmp_path, WHOLE))

    notes, tickets = servers["notes"], servers["tickets"]
    assert isinstance(notes.way, Program)
    assert (notes.way.confined, notes.way.write) == (True, (tmp_path / "notes",))
    assert notes.credentials_of("default").secrets == {"NOTES_TOKEN": "env:NOTES_TOKEN"}
    assert notes.credentials_of("acme").secrets == {"NOTES_TOKEN": "file:/run/secrets/acme"}
    assert notes.terms_of("write_note").safety_level == "caution"
    assert notes.terms_of("read_note").idempotent
    assert notes.terms_of("send_note").reconciler == "was_sent"
    assert notes.terms_of("read_note").reconciler is None
    assert isinstance(tickets.way, Endpoint)
    assert (tickets.tenants, tickets.terms.safety_level) == (("default",), "restricted")
    assert tickets.credentials == Credentials(bearer="env:TICKETS_TOKEN")


def test_a_tools_own_terms_leave_the_servers_others(tmp_path: Path) -> None:
    text = '[servers.a]\ncommand = ["/x"]\nsafety_level = "safe"\n[servers.a.tool.t]\nidempotent = true\n'

    terms = load_servers(written(tmp_path, text))["a"].terms_of("t")

    assert (terms.safety_level, terms.idempotent) == ("safe", True)


def test_nobody_vouches_for_a_server_unless_the_file_says_so(tmp_path: Path) -> None:
    text = '[servers.a]\ncommand = ["/x"]\n[servers.a.tool.t]\ntrust = "tool"\nacts_outside = false\n'

    server = load_servers(written(tmp_path, text))["a"]

    own, others = server.terms_of("t"), server.terms_of("u")
    assert (own.trust, own.acts_outside, own.sensitive) == ("tool", False, None)
    assert (others.trust, others.acts_outside, others.sensitive) == ("document", None, None)


def test_without_a_file_there_are_no_servers() -> None:
    assert load_servers(None) == {}
    assert load_accepted(None) == {}


FAULTS = {
    "neither way": ("[servers.a]\n", "write either command"),
    "both ways": ('[servers.a]\ncommand = ["/x"]\nurl = "https://x.example"\n', "write either command"),
    "an unknown key": ('[servers.a]\ncomand = ["/x"]\n', "servers.a.comand"),
    "a relative program": ('[servers.a]\ncommand = ["node"]\n', "absolute path"),
    "no program": ("[servers.a]\ncommand = []\n", "absolute path"),
    "a downloader": ('[servers.a]\ncommand = ["/usr/bin/npx", "-y", "x"]\n', "may download what it runs"),
    "a secret in the open": (
        '[servers.a]\ncommand = ["/x"]\nsecrets = { T = "sk-very-secret" }\n',
        "env:NAME or file:/path",
    ),
    "a secret header": (
        '[servers.a]\nurl = "https://x.example"\nheaders = { Authorization = "sk-very-secret" }\n',
        "it is a secret",
    ),
    "credentials in the address": (
        '[servers.a]\nurl = "https://u:sk-very-secret@x.example"\n',
        "credentials",
    ),
    "plain HTTP": ('[servers.a]\nurl = "http://x.example"\n', "without TLS"),
    "no address": ('[servers.a]\nurl = "ftp://x.example"\n', "https://mcp.example/mcp"),
    "a folder for an address": ('[servers.a]\nurl = "https://x.example"\nread = ["/x"]\n', "command alone"),
    "a network that is none": ('[servers.a]\nurl = "https://x.example"\nprivate = ["x"]\n', "10.1.0.0/16"),
    "a header for a program": ('[servers.a]\ncommand = ["/x"]\nheaders = { A = "b" }\n', "url alone"),
    "a bearer for a program": ('[servers.a]\ncommand = ["/x"]\nbearer = "env:A"\n', "url alone"),
    "a name with the separator": ('[servers.a__b]\ncommand = ["/x"]\n', "single '_'"),
    "a name in capitals": ('[servers.Notes]\ncommand = ["/x"]\n', "small letters"),
    "a tenant that is not listed": (
        '[servers.a]\ncommand = ["/x"]\n[servers.a.tenant.acme]\n',
        "tenants does not name it",
    ),
    "no tenant": ('[servers.a]\ncommand = ["/x"]\ntenants = []\n', "servers.a.tenants"),
    "a level that is none": ('[servers.a]\ncommand = ["/x"]\nsafety_level = "trusted"\n', "safety_level"),
    "no TOML": ("servers = [", "cannot be read"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_names_file_key_and_remedy_and_no_secret(tmp_path: Path, case: str) -> None:
    text, remedy = FAULTS[case]
    path = written(tmp_path, text)

    with pytest.raises(ConfigurationInvalid) as caught:
        load_servers(path)

    assert str(path) in str(caught.value)
    assert remedy in str(caught.value)
    assert "sk-very-secret" not in str(caught.value)


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    path = written(tmp_path, '[servers.A]\ncommand = ["x"]\n[servers.b]\n')

    with pytest.raises(ConfigurationInvalid) as caught:
        load_servers(path)

    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, WHOLE)
    path.chmod(mode)

    with pytest.raises(ConfigurationInvalid, match="others may write it"):
        load_servers(path)


def test_what_was_accepted_must_be_ones_own_too(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    accepted = acceptance_path(path)
    accepted.write_text('{"format": 1, "servers": {}}', encoding="utf-8")
    accepted.chmod(0o666)

    with pytest.raises(ConfigurationInvalid, match="chmod"):
        load_accepted(path)


def test_a_damaged_acceptance_is_told_with_its_remedy(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    acceptance_path(path).write_text("{", encoding="utf-8")

    with pytest.raises(ConfigurationInvalid, match="cartrita tools accept"):
        load_accepted(path)


def test_secrets_are_read_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "one")
    path = tmp_path / "token"
    path.write_text("two\n", encoding="utf-8")

    assert secrets.resolve("env:A_TOKEN") == "one"
    assert secrets.resolve(f"file:{path}") == "two"


@pytest.mark.parametrize("reference", ["env:NO_SUCH_TOKEN", "file:/no/such/file", "file:/dev/null"])
def test_a_secret_that_is_not_there_is_told_by_its_reference(reference: str) -> None:
    with pytest.raises(SecretMissing, match=reference):
        secrets.resolve(reference)
