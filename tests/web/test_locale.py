"""The catalogues are complete and alike, and no text of the pages stands outside them."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
ENGLISH, BENGALI = (json.loads((WEB / "locale" / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("en", "bn"))
SECTIONS = {key.split(".")[0] for key in ENGLISH}
# the administration's pages and what is made of its frame are in English alone
TEMPLATES = sorted(
    file
    for file in (WEB / "templates").glob("*.html")
    if not file.name.startswith("admin") and '{% extends "admin.html" %}' not in file.read_text(encoding="utf-8")
)
PYTHON = [*(ROOT / "server" / "endpoints").glob("page*.py"), *(ROOT / "server" / "core").glob("page_*.py")]
SOURCES = [*TEMPLATES, *sorted((WEB / "static" / "js").glob("*.js")), *sorted(PYTHON)]
# a language is named in itself, whatever the page's language
OWN_NAMES = {"English", "বাংলা"}

LITERAL = re.compile(r"""["'`]([a-z][A-Za-z]*(?:\.[A-Za-z0-9-]+)+)["'`]""")
BEGINNING = re.compile(r"""["'`]([a-z][A-Za-z]*(?:\.[A-Za-z0-9-]+)*\.?[a-z]*)(?:["']\s*~|\$?\{)""")


def _texts() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in SOURCES)


def _stem(key: str) -> str:
    return re.sub(r"\.(one|other)$", "", key)


def test_both_languages_have_the_same_keys() -> None:
    """A text missing in one language would show its key."""
    assert list(ENGLISH) == list(BENGALI)


@pytest.mark.parametrize("key", ENGLISH)
def test_both_languages_have_the_same_placeholders(key: str) -> None:
    """A placeholder misspelt in one language would stand in the page as it is."""
    assert sorted(re.findall(r"\{\w+\}", ENGLISH[key])) == sorted(re.findall(r"\{\w+\}", BENGALI[key]))


def test_plurals_are_whole() -> None:
    """Every `.one` has its `.other`."""
    stems = {_stem(key) for key in ENGLISH if key.endswith((".one", ".other"))}
    assert [stem for stem in stems if not {f"{stem}.one", f"{stem}.other"} <= ENGLISH.keys()] == []


def test_every_key_in_use_exists() -> None:
    """Every literal that begins like a key is one."""
    used = {key for key in LITERAL.findall(_texts()) if key.split(".")[0] in SECTIONS and not key.endswith((".js", ".html"))}
    known = set(ENGLISH) | {_stem(key) for key in ENGLISH}
    assert used - known == set()


def test_every_key_is_in_use() -> None:
    """A text nobody shows is not translated for nothing."""
    literals = set(LITERAL.findall(_texts()))
    beginnings = tuple(start for start in BEGINNING.findall(_texts()) if start.split(".")[0] in SECTIONS and "." in start)
    assert [key for key in ENGLISH if _stem(key) not in literals and not key.startswith(beginnings)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_templates_hold_no_text_of_their_own(template: Path) -> None:
    """Words between tags, and in the attributes people are told, come from the catalogue."""
    source = re.sub(r"\{#.*?#\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
    told = re.findall(r"""\s(?:aria-label|title|placeholder|alt)=(?:"([^"]*)"|'([^']*)')""", source)
    between = re.sub(r"<[^>]*>", "\n", re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL))
    words = set(re.findall(r"[^\W\d_]{2,}[^\n]*", between)) - OWN_NAMES
    plain = [text for text in map("".join, told) if re.search(r"[^\W\d_]", re.sub(r"\{[{%].*?[}%]\}", "", text))]
    assert (words, plain) == (set(), [])


@pytest.mark.parametrize("script", sorted((WEB / "static" / "js").glob("*.js")), ids=lambda file: file.name)
def test_scripts_hold_no_text_of_their_own(script: Path) -> None:
    """What looks like the beginning of a sentence is none of theirs; neither are Bengali letters, digits aside."""
    code = re.sub(r"^\s*//.*$|\s// .*$", "", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"""["'`][A-Z][a-z]+ [a-z]+[^"'`]*["'`]""", code) == []
    assert re.findall("[\u0980-\u09e5\u09f0-\u09ff]", code) == []
