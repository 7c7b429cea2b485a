"""What the server makes of a message and what the page's scripts make of it are the same nodes, for
messages of every kind and for hostile texts.
"""

import json
import random
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.core.pages.page_forms import message_form, sender_of
from server.core.pages.page_locale import Locale
from server.core.state.message_kinds import KINDS
from server.core.state.views import message_view
from tests.unit.core.pages.test_page_text import PIECES
from tests.web.fixed_data import kind_messages, messages

ROOT = Path(__file__).parents[2]
RUN = """
import { readFileSync } from "node:fs";
import { createI18n } from "ROOT/web/static/js/i18n.js";
import { messageForm, senderOf } from "ROOT/web/static/js/later/forms.js";
const { views, lang, digits, strings, kinds, channel } = JSON.parse(readFileSync(0));
const i18n = createI18n({ lang, digits, strings, kinds });
console.log(JSON.stringify(views.map((view) => [senderOf(view, i18n, channel),
  messageForm(view, i18n, views[0], channel), i18n.line(view)])));
"""


def _texts(count: int) -> list[str]:
    chance = random.Random(17)
    return [
        "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 300 if n % 9 == 0 else 14)))
        for n in range(count)
    ]


def _views() -> list[dict[str, Any]]:
    kinds = msgspec.to_builtins([message_view(m) for m in (*messages(), *kind_messages())])
    # texts of others in every place of every kind
    texts = iter(_texts(4_000))
    hostile = [
        json.loads(json.dumps(view), object_hook=lambda found: _with_texts(found, texts))
        for view in kinds * 6
    ]
    bare = [{**kinds[0], "content": text, "details": None} for text in _texts(2_000)]
    return [*kinds, *hostile, *bare]


def _with_texts(found: dict[str, Any], texts: Any) -> dict[str, Any]:
    kept = ("kind", "type", "senderType", "createdAt", "editedAt", "language", "direction")
    return {
        name: next(texts, "end") if isinstance(value, str) and name not in kept else value
        for name, value in found.items()
    }


@pytest.mark.parametrize("lang", ["en", "bn"])
@pytest.mark.parametrize("channel", ["Channel::Whatsapp", "Channel::Of::Tomorrow", None])
def test_both_sides_make_the_same_of_every_message(lang: str, channel: str | None) -> None:
    """A message looks alike whether the server or a script printed it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    catalogue = json.loads((ROOT / f"web/locale/{lang}.json").read_text(encoding="utf-8"))
    now, views = datetime.now(UTC), _views()
    locale = Locale(lang, catalogue, UTC, now, has_bengali_digits=lang == "bn")
    given: dict[str, Any] = {
        "views": views,
        "lang": lang,
        "digits": "beng" if lang == "bn" else "latn",
    }
    given |= {"strings": catalogue, "kinds": KINDS, "channel": channel}
    done = subprocess.run(
        [node, "--input-type=module", "-e", RUN.replace("ROOT", ROOT.as_posix())],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    for view, (sender, form, line) in zip(views, json.loads(done.stdout), strict=True):
        ours = msgspec.to_builtins(message_form(view, locale, views[0], channel))
        assert ours == form, view
        assert sender_of(view, locale, channel) == sender
        assert locale.line(view["kind"], view["content"]) == line


def test_no_message_is_an_empty_bubble() -> None:
    """Every kind says something, in either language."""
    for lang in ("en", "bn"):
        catalogue = json.loads((ROOT / f"web/locale/{lang}.json").read_text(encoding="utf-8"))
        locale = Locale(lang, catalogue, UTC, datetime.now(UTC))
        for kind in (*KINDS, "one of tomorrow"):
            bare = {"id": 1, "kind": kind, "content": "", "deleted": False, "isSummary": True}
            form = message_form(bare, locale)
            assert form.before or form.body or form.after or form.files, (lang, kind)


def test_each_kind_has_its_word_in_both_languages() -> None:
    """Rows and notifications say what came without a text."""
    for lang in ("en", "bn"):
        catalogue = json.loads((ROOT / f"web/locale/{lang}.json").read_text(encoding="utf-8"))
        assert [kind for kind in KINDS if kind != "text" and f"kind.{kind}" not in catalogue] == []
