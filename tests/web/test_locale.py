"""The catalogues are complete and alike, and no text of the pages stands outside them."""

import json
import re
from pathlib import Path

import pytest

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

SECTIONS = {key.split(".")[0] for key in ENGLISH}
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
SCRIPTS = sorted([*(WEB / "static" / "js").rglob("*.js"), *(WEB / "static").glob("*.js")])
PYTHON = [*ENDPOINTS.rglob("*.py"), *CORE.glob("page_*.py")]
SOURCES = [*TEMPLATES, *SCRIPTS, *sorted(PYTHON)]
# a language is named in itself, whatever the page's language; what is typed into a shell is in no
# language
OWN_NAMES = {"English", "বাংলা"}
COMMANDS = re.compile(r"<code\b[^>]*>.*?</code>", re.DOTALL)
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


@pytest.mark.parametrize("folder", [*FOLDERS.values(), WEB / "locale" / "problems"])
def test_one_spelling_of_e_mail(folder: Path) -> None:
    """The glossary's; `{email}` is a placeholder."""
    for lang, other in (("en", r"(?<!\{)\bemails?\b"), ("bn", "ইমেইল|ইমেল|ই-মেল")):
        texts = json.loads((folder / f"{lang}.json").read_text(encoding="utf-8"))
        found = [key for key, text in texts.items() if re.search(other, text, re.IGNORECASE)]
        assert found == []


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
