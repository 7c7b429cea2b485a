"""What a machine can list is the same in the docs and in the code: both ways, so that neither says
more than the other.
"""

import ast
import importlib
import itertools
import json
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import opentelemetry.sdk.environment_variables
import pytest
from prometheus_client.metrics import MetricWrapperBase
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

import server
from server import metrics
from server.app import create_app
from server.cli.commands import main
from server.close_codes import CloseCode
from server.core.state.preference_rules import CHOICES
from server.core.state.refusals import SENTENCES
from server.core.state.reply_outcomes import RETRYING
from server.core.wire import client_frames
from server.db.schema.tables import metadata
from server.errors import OmniError
from server.settings import Settings, describe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "README.bn.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
]
# problems that `app.py` makes of Starlette's own, without a class of ours
HTTP_CODES = {"method_not_allowed", "http_error"}
# a class of ours that never becomes an answer
SILENT_CODES = {"payload"}


def page(name: str) -> str:
    return (DOCS / name).read_text()


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the rows below the table head that begins with these words."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            rows = itertools.takewhile(
                lambda row: row.startswith("|"), itertools.islice(lines, 1, None)
            )
            return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    raise AssertionError(f"no table | {heading} |")


def code(cell: str) -> str:
    return cell.strip("`")


# settings


def test_every_setting_is_documented_with_its_default_and_its_meaning() -> None:
    """docs/settings.md and server.settings.describe() say the same."""
    rows = [row for row in page("settings.md").splitlines() if re.match(r"\| `[A-Z_]+` \|", row)]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    documented = sorted(
        (code(name), "" if default == "(empty)" else code(default), text)
        for name, default, _unit, text in cells
    )
    assert documented == sorted(describe())


def test_every_setting_that_is_mentioned_exists() -> None:
    """No page speaks of a setting that was renamed or removed."""
    known = {name for name, _, _ in describe()}
    # Chatwoot's own setting; the webhook's answer
    others = {"SAFE_FETCH_ALLOW_PRIVATE_NETWORK", "EVENT_RECEIVED"}
    # of every program; that they are not read is said
    others |= {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    others |= {
        name for name in vars(opentelemetry.sdk.environment_variables) if name.startswith("OTEL_")
    }
    for path in PAGES:
        assert set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", path.read_text())) <= known | others, (
            path.name
        )


# metrics


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    """docs/metrics.md and server.metrics say the same."""
    made = set()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            described = metric.describe()
            [family] = described
            name = family.name + ("_total" if family.type == "counter" else "")
            made.add((name, family.type, tuple(metric._labelnames)))
    rows = table(page("metrics.md"), "name")
    assert {
        (code(name), kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows
    } == made


def test_every_metric_that_is_mentioned_exists() -> None:
    """No page speaks of a metric that was renamed or removed."""
    known = {code(row[0]) for row in table(page("metrics.md"), "name")}
    for path in PAGES:
        mentioned = set(re.findall(r"`(omni_inbox_\w+)", path.read_text()))
        mentioned -= {"omni_inbox_version", *metadata.tables}
        assert mentioned <= known, path.name


# errors


def test_every_problem_code_is_documented_with_its_status() -> None:
    """docs/errors.md lists all subclasses of OmniError, wherever they are, and nothing else."""
    made = {(kind.code, str(kind.status)) for kind in _errors() if kind.code not in SILENT_CODES}
    rows = table(page("errors.md"), "code")
    documented = {(code(name), status) for name, status, _ in rows}
    assert {pair for pair in documented if pair[0] not in HTTP_CODES} == made
    assert {name for name, _ in documented} >= HTTP_CODES
    app = (ROOT / "server/app.py").read_text()
    assert all(f'"{name}"' in app for name in HTTP_CODES)
    assert all(f"`{name}`" in page("errors.md") for name in SILENT_CODES)


def test_every_close_code_is_documented() -> None:
    """docs/errors.md lists what sockets are closed with, in the code's own words."""
    text = page("errors.md")
    rows = table(text[text.index("## Close codes") :], "code")
    assert [(int(row[0]), row[1]) for row in rows] == [(int(one), one.meaning) for one in CloseCode]
    assert {kind.close_code for kind in _errors()} <= set(CloseCode)


def test_every_close_code_of_our_own_is_in_the_protocol() -> None:
    """docs/protocol.md names what a client must tell apart, by the code's names."""
    named = re.findall(r"(?<!-)\b(4\d\d\d) ([a-z][a-z -]*)", _closing(page("protocol.md")))
    ours = {int(one): one.name.lower() for one in CloseCode if one >= 4000}
    assert {int(code): re.sub("[ -]", "_", name) for code, name in named} == ours


def test_every_error_of_a_reply_is_documented() -> None:
    """Codes that `server/outgoing/reply_attempts.py` gives a failed reply, and the channel's."""
    made = {
        call.args[1].value
        for call in _calls("outgoing/reply_attempts.py", {"failed"})
        if isinstance(call.args[1], ast.Constant)
    }
    text = page("errors.md")
    rows = table(text[text.index("## Errors of a reply") :], "code")
    documented = {name for row in rows for name in re.findall(r"`([\w<>]+)`", row[0])}
    assert {name for name in documented if not name.startswith("chatwoot_")} | {
        "chatwoot_denied"
    } == made | {*SENTENCES, RETRYING.code}


# the command line


def test_every_command_is_documented_with_its_options() -> None:
    """docs/commands.md has a heading for each command, and below it its options and an example."""
    sections = dict(
        re.findall(
            r"^### `(omni-inbox [^`]+)`\n(.*?)(?=^##|\Z)",
            page("commands.md"),
            re.MULTILINE | re.DOTALL,
        )
    )
    commands = dict(_commands(main, "omni-inbox"))
    assert set(sections) == set(commands)
    for name, command in commands.items():
        text = sections[name]
        documented = set(re.findall(r"^\| `(--[\w-]+)`", text, re.MULTILINE))
        assert documented == _options(command), name
        assert re.search(rf"^{name}\b", text, re.MULTILINE), f"{name} has no example"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_that_are_printed_exist(path: Path) -> None:
    """What a reader copies from a page is a command and options we have."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = dict(_commands(main, "omni-inbox"))
    for line in _shell_lines(path.read_text()):
        words = shlex.split(line, comments=True)
        if "make" in words[:1]:
            assert words[1] in targets, line
        if "omni-inbox" in words[:1]:
            name = next(
                (name for name in commands if words[: len(name.split())] == name.split()), ""
            )
            assert name, line
            assert {word for word in words if word.startswith("--")} <= _options(commands[name]), (
                line
            )
    for target in re.findall(r"`make ([a-z-]+)", path.read_text()):
        assert target in targets, target
    for spoken in re.findall(r"`(omni-inbox [a-z][^`]*)`", path.read_text()):
        assert any(spoken.startswith(name) or name.startswith(spoken) for name in commands), spoken


# the protocol


def test_every_route_is_documented(tmp_path: Path) -> None:
    """docs/protocol.md lists each method and address of the application, and nothing else."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'omni.db'}",
        spool_path=str(tmp_path / "spool.db"),
        jwt_secret="x" * 32,
    )
    made = {(method, _pattern(path)) for method, path in _addresses(create_app(settings).routes)}
    text = page("protocol.md")
    documented = {
        (method, _pattern(path))
        for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", text)
    }
    assert "`/ws`" in text
    # the latter is the page for addresses that do not exist
    assert documented == made - {("GET", "/ws"), ("GET", "/inbox/{}*")}


def test_every_socket_message_is_documented() -> None:
    """docs/protocol.md lists the types clients and server send, and nothing else."""
    rows = table(page("protocol.md"), "from")
    by_client = {
        kind.__struct_config__.tag
        for kind in (
            client_frames.Hello,
            client_frames.Pong,
            client_frames.Auth,
            client_frames.Viewing,
            client_frames.Typing,
        )
    }
    by_server = {"event"} | {
        call.args[0].value
        for name in (
            "live/connection.py",
            "http/api/websocket.py",
            "core/wire/client_frames.py",
            "core/state/presence_state.py",
        )
        for call in _calls(name, {"send", "encode_message"})
        if call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }
    assert {code(kind) for origin, kind, _ in rows if origin == "client"} == by_client
    # `auth` stands with the client's
    assert {code(kind) for origin, kind, _ in rows if origin == "server"} | {"auth"} == by_server


def test_every_kind_of_event_is_documented() -> None:
    """docs/protocol.md lists the kinds the projection makes, and nothing else."""
    made = {
        call.args[0].value
        for call in _calls("core/state/projection.py", {"_add_event", "PendingEvent"})
        if isinstance(call.args[0], ast.Constant)
    }
    rows = table(page("protocol.md"), "kind")
    assert {name for row in rows for name in re.findall(r"`([\w.]+)`", row[0])} == made


# pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_resolve(path: Path) -> None:
    """Each relative link names a file that is there, and a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }, target


def test_both_readmes_have_the_same_commands_figures_and_pages() -> None:
    """Whoever reads the Bengali one misses nothing of the other: commands, settings, the figures of
    the table, the pages it leads to.
    """
    english, bengali = (path.read_text() for path in (ROOT / "README.md", ROOT / "README.bn.md"))

    def commands(text: str) -> list[str]:
        return [" ".join(shlex.split(line, comments=True)) for line in _shell_lines(text)]

    assert commands(bengali) == commands(english)
    for pattern in (
        r"`([A-Z]+(?:_[A-Z]+)+)`",
        r"\]\((docs/[a-z_]+\.md)",
        r"^\| `((?:GET|POST) [^`]*)`",
        r"`(omni-inbox [a-z ]+)`",
    ):
        assert set(re.findall(pattern, bengali, re.MULTILINE)) >= set(
            re.findall(pattern, english, re.MULTILINE)
        ), pattern
    figures = [
        re.findall(r"\| ([\d,.]+(?: ms| kB)?) \| ([\d,.]+(?: ms| kB)?) \| ([\d.]+) ", text)
        for text in (english, bengali)
    ]
    assert len(figures[0]) == 6
    assert figures[0] == figures[1]


def test_files_that_are_mentioned_exist() -> None:
    """A path in backticks that begins with a folder of ours is a path of ours."""
    for path in PAGES:
        for name in re.findall(r"`((?:server|tests|web|docs|\.ci)/[\w./-]*)`", path.read_text()):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_the_glossary_is_sorted_and_alive() -> None:
    """Each word stands once, in order, and is used in the code or in another page."""
    words = re.findall(r"^\| \*\*(.+?)\*\*", page("glossary.md"), re.MULTILINE)
    assert words == sorted(set(words))
    elsewhere = " ".join(
        path.read_text().lower()
        for path in [*PAGES, *(ROOT / "server").rglob("*.py")]
        if path.name != "glossary.md"
    )
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}", elsewhere)] == []


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ("tenant", "company"),
        ("workspace", "company"),
        ("sequence number", "seq"),
        ("checkpoint", "cursor"),
        ("message broker", "bus"),
        ("an email", "an e-mail"),
        ("email address", "e-mail address"),
    ],
)
def test_pages_use_the_glossary_s_words(other: str, word: str) -> None:
    """One word per thing."""
    for path in PAGES:
        assert other not in path.read_text().lower(), f"{path.name}: say {word}"


def test_the_changelog_has_an_unreleased_section() -> None:
    """With something in it under a heading of Keep a Changelog."""
    text = (ROOT / "CHANGELOG.md").read_text()
    section = text[text.index("## [Unreleased]") :]
    assert re.search(
        r"^### (Added|Changed|Deprecated|Removed|Fixed|Security)\n\n- ", section, re.MULTILINE
    )


def _errors() -> set[type[OmniError]]:
    """OmniError and all below it, from every module."""
    for module in pkgutil.walk_packages(server.__path__, "server."):
        # those two do something when they are imported
        if not module.name.endswith((".__main__", ".migrations.env")):
            importlib.import_module(module.name)
    found, waiting = set(), [OmniError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return {kind for kind in found if kind.__module__.startswith("server.")}


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part, inner in command.commands.items():
        yield from _commands(inner, f"{name} {part}")


def _options(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def _shell_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())


def _addresses(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in (route.methods or {"GET"}) - {"HEAD"})
        elif isinstance(route, Mount):
            yield "GET", f"{route.path}/"
        elif isinstance(route, WebSocketRoute):
            yield "GET", route.path
        else:
            raise TypeError(f"a kind of route this test does not know: {route!r}")


def _pattern(path: str) -> str:
    """Names of parameters do not matter."""
    return re.sub(r"\{[^}]*\}", "{}", re.sub(r"\{\w+:path\}", "{}*", path))


def _calls(name: str, functions: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse((ROOT / "server" / name).read_text())):
        if isinstance(node, ast.Call):
            called = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            if called in functions:
                yield node


def _closing(text: str) -> str:
    return text[text.index("Close codes:") :]


def test_every_promise_names_a_test_that_exists() -> None:
    """A promise without its test is a wish."""
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", (ROOT / "docs" / "behavior.md").read_text())
    assert len(named) > 20
    assert _missing(named) == []


# tried by `make load`, or nowhere yet; whoever writes a test takes its row out
_WITHOUT_TESTS = {11, 12, 48, 69}


def test_every_fault_names_tests_that_exist() -> None:
    """docs/testing.md lists each row once, and none that has had tests goes missing."""
    rows = table(page("testing.md"), "row")
    numbers = [int(row) for row, _, _ in rows]
    assert numbers == sorted(set(numbers))
    assert set(numbers) >= set(range(1, 71)) - _WITHOUT_TESTS
    for number, _, tests in rows:
        named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", tests)
        assert named, number
        assert _missing(named) == [], number


def _missing(named: list[tuple[str, str]]) -> list[str]:
    return [
        f"{path}::{name}"
        for path, name in named
        if f"def {name}(" not in (ROOT / "tests" / path).read_text()
    ]


def test_every_preference_is_documented_with_its_values() -> None:
    """docs/protocol.md lists what may be chosen, the default first."""
    text = page("protocol.md")
    documented = {
        name: re.findall(r"`([^`]+)`", row[1])
        for row in table(text[text.index("### Preferences") :], "name")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert documented == {
        name: [json.dumps(value) for value in values] for name, values in CHOICES.items()
    }


# decisions


def test_every_decision_has_a_number_of_its_own() -> None:
    """Whoever cites one by its number means one; the number stands in the file's name alone."""
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers), numbers
    assert not [path.name for path in decisions if re.match(r"# \d", path.read_text())]
