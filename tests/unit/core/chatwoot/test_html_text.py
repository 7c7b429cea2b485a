"""HTML that Chatwoot made of a text is read as that text, and no text of a person is."""

import time

import pytest

from server.core.chatwoot.html_text import source_of, text_of_html

_WHOLE = """<p><strong>Cold</strong> water.<br />
No <em>bleach</em>.</p>
<ul>
<li>one</li>
<li>two
<ul>
<li>in two</li>
</ul>
</li>
</ul>
<ol>
<li>
<p>first</p>
</li>
<li>
<p>second</p>
</li>
</ol>
<p><a href="https://example.org/care?a=1&amp;b=2">Care</a> or <code>CODE5</code></p>
<pre><code>if a &lt; b:
    go
</code></pre>
<blockquote>
<p>said<br />
before</p>
</blockquote>
<h2>End</h2>
"""
_SOURCE = """**Cold** water.
No *bleach*.

- one
- two
  - in two

1. first

2. second

[Care](https://example.org/care?a=1&b=2) or `CODE5`

```
if a < b:
    go
```

> said
> before

## End"""


def test_what_commonmark_rendered_is_its_source_again() -> None:
    assert source_of(_WHOLE) == _SOURCE
    plain = "<p>It is <strong>1,200</strong> Taka &amp; in stock.</p>\n"
    assert source_of(plain) == "It is **1,200** Taka & in stock."


@pytest.mark.parametrize(
    "written",
    [
        "<p>I wrote this</p>",
        "Hello <b>x</b>\n",
        "<p>one</p> and more\n",
        "<p>a<script>alert(1)</script></p>\n",
        "<div>x</div>\n",
        "<3 you\n",
        "1 < 2",
        "",
        None,
        7,
    ],
)
def test_what_a_person_may_have_written_stays(written: object) -> None:
    assert source_of(written) == written


def test_a_mail_is_read_without_what_nobody_sees() -> None:
    source = (
        "<html><head><title>t</title><style>p{color:red}</style></head><body><p>Hello <b>shop</b>,"
        "</p><ul><li>one</li></ul><!-- no --><p><a href='https://example.org/x?a=1&amp;b=2'>my "
        "order</a><a href='javascript:alert(1)'> bad</a></p><script>alert(1)</script>"
        "<table><tr><td>Size</td><td>M</td></tr></table></body></html>"
    )
    assert text_of_html(source) == (
        "Hello shop,\n\n- one\n\n[my order](https://example.org/x?a=1&b=2) bad\n\nSize\tM"
    )


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<a b='", "<!--", "<ul><li>", "<blockquote>x", "<script>", "&", "<p>", "<a>x"],
)
def test_hostile_html_takes_no_time(piece: str) -> None:
    started = time.process_time()
    text_of_html(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("begun", ["<a", "</a", "<!a"])
def test_a_tag_with_an_endless_name_takes_no_time(begun: str) -> None:
    started = time.process_time()
    text_of_html(begun + "a" * 1_000_000)
    assert time.process_time() - started < 5
