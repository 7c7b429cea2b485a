"""The catalogues are complete and alike, and no text of the pages stands outside them."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.core.pages.page_sentences import Sentences
from server.http.pages import account_pages, admin_integrations, admin_people

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
ENDPOINTS, CORE = ROOT / "server" / "http", ROOT / "server" / "core" / "pages"
# the inbox's catalogue, which is sent to its scripts, and that of the administrators' pages
FOLDERS = {"inbox": WEB / "locale", "admin": WEB / "locale" / "admin"}
CATALOGUES = {
    name: tuple(
        json.loads((folder / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("en", "bn")
    )
    for name, folder in FOLDERS.items()
}
ENGLISH = {key: text for english, _ in CATALOGUES.values() for key, text in english.items()}
BENGALI = {key: text for _, bengali in CATALOGUES.values() for key, text in bengali.items()}
SENTENCES: dict[str, str] = json.loads(
    (FOLDERS["admin"] / "sentences.bn.json").read_text(encoding="utf-8")
)
SECTIONS = {key.split(".")[0] for key in ENGLISH}
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
SCRIPTS = sorted([*(WEB / "static" / "js").rglob("*.js"), *(WEB / "static").glob("*.js")])
PYTHON = [*ENDPOINTS.rglob("*.py"), *CORE.glob("page_*.py")]
SOURCES = [*TEMPLATES, *SCRIPTS, *sorted(PYTHON)]
# a language is named in itself, whatever the page's language; what is typed into a shell is in no
# language
OWN_NAMES = {"English", "বাংলা"}
COMMANDS = re.compile(r"<code\b[^>]*>.*?</code>", re.DOTALL)
# modules whose sentences people read on the administrators' pages
TOLD = (
    *(
        "core/checks/integration_checks.py",
        "integrations/checks.py",
        "core/state/message_trace.py",
        "operation/health.py",
        "operation/company_status.py",
        "incoming/reconcile.py",
        "integrations/directory.py",
    ),
    *(
        "integrations/service.py",
        "access/people_administration.py",
        "access/first_run.py",
        "access/authentication.py",
        "operation/delivery_ledger.py",
        "operation/erasure.py",
        "incoming/sync_jobs.py",
        "chatwoot/outgoing.py",
    ),
    *(
        "chatwoot/answers.py",
        "chatwoot/reachability.py",
        "db/access/accounts.py",
        "db/access/vault.py",
        "http/pages/page_shell.py",
        "http/rate_limits.py",
    ),
    *(
        "http/pages/admin_integrations.py",
        "http/api/ledger.py",
        "core/chatwoot/payloads.py",
        "core/chatwoot/inbox_proof.py",
        "integrations/proofs.py",
    ),
)

LITERAL = re.compile(r"""["'`]([a-z][A-Za-z]*(?:\.[A-Za-z0-9-]+)+)["'`]""")
BEGINNING = re.compile(r"""["'`]([a-z][A-Za-z]*(?:\.[A-Za-z0-9-]+)*\.?[a-z]*)(?:["']\s*~|\$?\{)""")


def _texts() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in SOURCES)


def _stem(key: str) -> str:
    return re.sub(r"\.(one|other)$", "", key)


def test_both_languages_have_the_same_keys() -> None:
    """A text missing in one language would show its key."""
    for english, bengali in CATALOGUES.values():
        assert list(english) == list(bengali)
    assert not CATALOGUES["inbox"][0].keys() & CATALOGUES["admin"][0].keys()


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("admin.account.done.", account_pages._DONE),
        ("admin.integration.done.", admin_integrations._DONE),
        ("admin.people.done.", admin_people._DONE),
        ("admin.integration.", tuple(admin_integrations._SWITCHES)),
    ],
)
def test_each_act_of_a_page_has_its_texts(prefix: str, names: tuple[str, ...]) -> None:
    """Their keys are put together from names, so that nothing else notices one that is missing:
    pressing the button would end in 500.
    """
    assert [name for name in names if prefix + name not in ENGLISH] == []


@pytest.mark.parametrize("key", ENGLISH)
def test_both_languages_have_the_same_placeholders(key: str) -> None:
    """A placeholder misspelt in one language would stand in the page as it is."""
    assert sorted(re.findall(r"\{\w+\}", ENGLISH[key])) == sorted(
        re.findall(r"\{\w+\}", BENGALI[key])
    )


def test_plurals_are_whole() -> None:
    """Every `.one` has its `.other`."""
    stems = {_stem(key) for key in ENGLISH if key.endswith((".one", ".other"))}
    assert [stem for stem in stems if not {f"{stem}.one", f"{stem}.other"} <= ENGLISH.keys()] == []


def test_every_key_in_use_exists() -> None:
    """Every literal that begins like a key is one."""
    used = {
        key
        for key in LITERAL.findall(_texts())
        if key.split(".")[0] in SECTIONS and not key.endswith((".js", ".html"))
    }
    known = set(ENGLISH) | {_stem(key) for key in ENGLISH}
    assert used - known == set()


def test_every_key_is_in_use() -> None:
    """A text nobody shows is not translated for nothing."""
    literals = set(LITERAL.findall(_texts()))
    beginnings = tuple(
        start
        for start in BEGINNING.findall(_texts())
        if start.split(".")[0] in SECTIONS and "." in start
    )
    assert [
        key for key in ENGLISH if _stem(key) not in literals and not key.startswith(beginnings)
    ] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_templates_hold_no_text_of_their_own(template: Path) -> None:
    """Words between tags, and in the attributes people are told, come from the catalogue."""
    source = re.sub(
        r"\{#.*?#\}", "", COMMANDS.sub("", template.read_text(encoding="utf-8")), flags=re.DOTALL
    )
    told = re.findall(r"""\s(?:aria-label|title|placeholder|alt)=(?:"([^"]*)"|'([^']*)')""", source)
    between = re.sub(
        r"<[^>]*>", "\n", re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL)
    )
    words = set(re.findall(r"[^\W\d_]{2,}[^\n]*", between)) - OWN_NAMES
    plain = [
        text
        for text in map("".join, told)
        if re.search(r"[^\W\d_]", re.sub(r"\{[{%].*?[}%]\}", "", text))
    ]
    assert (words, plain) == (set(), [])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_scripts_hold_no_text_of_their_own(script: Path) -> None:
    """What looks like the beginning of a sentence is none of theirs; neither are Bengali letters,
    digits aside.
    """
    code = re.sub(r"^\s*//.*$|\s// .*$", "", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"""["'`][A-Z][a-z]+ [a-z]+[^"'`]*["'`]""", code) == []
    assert re.findall("[\u0980-\u09e5\u09f0-\u09ff]", code) == []


def test_every_sentence_in_bengali_has_its_pattern_in_the_server() -> None:
    """A sentence that was changed there would be told in English from then on."""
    said = "\n".join(_constants()).lower()
    pieces = {
        pattern: [piece.strip().lower() for piece in re.split(r"\{\w+\}", pattern)]
        for pattern in SENTENCES
    }
    # Chatwoot's own
    theirs = {
        "Invalid Access Token",
        "You are not authorized to do this action",
        "Resource could not be found",
    }
    assert {
        pattern for pattern, parts in pieces.items() if not all(piece in said for piece in parts)
    } - theirs == set()


@pytest.mark.parametrize("pattern", SENTENCES)
def test_sentences_keep_their_values(pattern: str) -> None:
    """Each stands in the Bengali sentence as well, once."""
    assert sorted(re.findall(r"\{\w+\}", pattern)) == sorted(
        re.findall(r"\{\w+\}", SENTENCES[pattern])
    )


def test_every_finding_and_refusal_is_told_in_bengali() -> None:
    """What the check of an integration finds, and why a form is refused: with any values, the
    sentence is known.
    """
    known = Sentences(SENTENCES, "।")
    said = {text for name in TOLD for text in _said(ROOT / "server" / name)}
    # fields of the API
    unknown = {
        text
        for text in said
        if not known.knows(text) and not re.search(r"\b[a-z]+[A-Z]|^state ", text)
    }
    assert unknown == set()


def _constants() -> Iterator[str]:
    for file in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


# (name of the call, which of its arguments are sentences for people)
_CALLS = {
    "Finding": (2, 3),
    **dict.fromkeys(
        (
            "BadRequest",
            "Conflict",
            "Forbidden",
            "NotFound",
            "Unprocessable",
            "TooManyRequests",
            "DuplicateRow",
        ),
        (0,),
    ),
    **dict.fromkeys(
        (
            "ChatwootUnavailable",
            "ChatwootOutcomeUnknown",
            "ChatwootFailed",
            "PayloadError",
            "_refusal",
        ),
        (0,),
    ),
    "ChatwootRefused": (1,),
}


def _said(file: Path) -> Iterator[str]:
    """The sentences that are put together where they are said, with something in the place of each
    value.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        for place in _CALLS.get(name, ()):
            if place < len(node.args) and (text := _example(node.args[place])):
                yield text


def _example(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        if any(
            isinstance(part, ast.FormattedValue) and getattr(part.value, "id", "").isupper()
            for part in node.values
        ):
            return None  # a constant within it is a part of the sentence
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values
        )
    return None
