"""Texts of messages as nodes: markdown, links that are safe to press, and nothing lost."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.pages.page_nodes import html
from server.core.pages.page_text import mail_nodes, marked_nodes, plain_nodes

# what markdown, addresses and attacks are made of
PIECES = (
    *("**", "*", "_", "__", "~~", "`", "```", "\n", "\n\n", " ", "  ", "- ", "1. ", "> ", "# "),
    *(",", ";", ":", "?", "…", "{", "^", "+", "-", "/", "#", "@", "0", "২", "é", "中", "A"),
    *("[", "](", "]", ")", "(", "!", "\\", "\\*", "|", "<b>", "</p>", "&", '"', "'", ".", "।"),
    *("https://a.example/x_y*z", "http://u:p@b.example", "www.c.example", "HTTPS://D.example"),
    *("javascript:alert(1)", "data:text/html,x", "[x](javascript:alert(1))", "[y](//e.example)"),
    *("[@Asha](mention://user/2/Asha)", "![i](https://f.example/i.png)", "a@g.example", "mailto:"),
    *("01712345678", "+880 1712-345678", "০১৭১২৩৪৫৬৭৮", "#5512", "word", "বাংলা", "স্ত্রী", "😀"),
    *("\u202e", "\u2066", "\u200f", "\x00", "\u2028", "\r\n", "\t"),
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
SAFE = re.compile(
    r"https?://[^/?#@\s\u202a-\u202e\u2066-\u2069]+([/?#]\S*)?|mailto:\S+|tel:\+?[0-9]+"
)


def text_of(nodes: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else text_of(node[2]) for node in nodes)


def addresses(nodes: list[Any]) -> list[str]:
    found: list[str] = []
    for node in nodes:
        if not isinstance(node, str):
            found += [node[1]["href"]] if "href" in node[1] else []
            found += addresses(node[2])
    return found


def shown(text: str) -> str:
    return str(html(marked_nodes(text)))


@given(TEXTS)
def test_a_plain_text_is_shown_to_the_letter(text: str) -> None:
    """Whatever a customer writes: links take nothing away."""
    assert text_of(plain_nodes(text)) == text


@given(TEXTS)
def test_only_safe_addresses_can_be_pressed(text: str) -> None:
    """http, https, mailto and tel, with a host that is what it looks like."""
    for nodes in (plain_nodes(text), marked_nodes(text)):
        assert [href for href in addresses(nodes) if not SAFE.fullmatch(href)] == []


@given(TEXTS)
def test_markdown_loses_no_word(text: str) -> None:
    """Signs may become marks; letters and digits stay, but for the address behind a label."""
    told = text_of(marked_nodes(text)) + "".join(addresses(marked_nodes(text)))
    for word in ("word", "বাংলা", "স্ত্রী", "😀", "5512"):
        assert told.count(word) >= text.count(word)


@given(TEXTS)
def test_no_markup_is_made_of_what_people_write(text: str) -> None:
    """Outside our own tags no angle bracket is left."""
    markup = str(html([*plain_nodes(text), *marked_nodes(text)]))
    tags = re.findall(r"<[^>]*>", markup)
    allowed = re.compile(r'</?[a-z]+[0-9]?( [a-z-]+="[^"<>]*")*>')
    assert [tag for tag in tags if not allowed.fullmatch(tag)] == []
    assert "<" not in re.sub(r"<[^>]*>", "", markup)


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("**b** *i* _i_ ~~s~~ `c*`", "<strong>b</strong> <em>i</em> <em>i</em> <del>s</del>"),
        ("**অর্ডার**টি", "<strong>অর্ডার</strong>টি"),
        ("- এক\n- দুই", '<ul><li dir="auto">এক</li><li dir="auto">দুই</li></ul>'),
        ("3. x\n4. y", '<ol start="3">'),
        ("> said\n> so", '<blockquote><p dir="auto">said\nso</p></blockquote>'),
        ("```\n<b>*x*\n```", "<code>&lt;b&gt;*x*</code>"),
        ("one\\\ntwo", "one\ntwo</p>"),
        ("\\*no\\*", ">*no*<"),
        ("[@Asha Rahman](mention://user/2/Asha%20Rahman)", ">@Asha Rahman</span>"),
        ("[Home](https://a.example/_x_)", 'href="https://a.example/_x_"'),
        ("see https://a.example/x.", ">https://a.example/x</a>."),
        ("০১৭১২৩৪৫৬৭৮", 'href="tel:01712345678"'),
        ("+880 1712-345678,", 'href="tel:+8801712345678"'),
        ("lea@example.org।", 'href="mailto:lea@example.org"'),
    ],
)
def test_marks_and_links(text: str, markup: str) -> None:
    """What Chatwoot's own pages show of the same text."""
    assert markup in shown(text)


@pytest.mark.parametrize(
    "text",
    [
        *("2*3*4", "snake_case_name", "* ", "**", "5 * 3 * 2", "#5512", "order 20261128001", "`"),
        *("01-02-2026 10", "[x](javascript:alert(1))", "https://bank.example@evil.example/", "a@b"),
        "[x](https://bank.example@evil.example)",
    ],
)
def test_what_is_no_mark_stays_as_it_is(text: str) -> None:
    """Sums, names of files and numbers of orders are everyday words."""
    assert marked_nodes(text) == [["p", {"dir": "auto"}, [text]]]


@pytest.mark.parametrize(
    "piece", ["*a ", "[a](", "`", "> ", "**a*", "- ", "![", "a@", "0123456 ", "(", "~~ ", "_x_ "]
)
def test_the_work_grows_with_the_text_and_not_with_its_square(piece: str) -> None:
    """Each sign is looked at a bounded number of times: a hostile text keeps nobody waiting. Six
    hundred thousand characters would take hours otherwise.
    """
    marked_nodes(piece * (600_000 // len(piece)))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["\\[", "[\\"])
def test_the_brackets_of_a_mail_keep_nobody_waiting(piece: str) -> None:
    """Nor are those of a long mail looked at again from each one before: that took a minute."""
    text = piece * 1_500_000
    assert text_of(mail_nodes(text)) == text


def test_an_escaped_bracket_of_a_mail_begins_no_label() -> None:
    """It stays as it was written; one after an escaped backslash is a label."""
    assert text_of(mail_nodes("\\[x](https://a.example)")) == "\\[x](https://a.example)"
    assert text_of(mail_nodes("\\\\[x](https://a.example)")) == "\\\\x"
