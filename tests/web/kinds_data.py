"""One message of each kind, as its row in a database would give it."""

from typing import Any

from server.core.state.entities import Attachment, ContactCard
from server.core.state.message_details import (
    Ad,
    Call,
    Card,
    CardAction,
    Email,
    FormField,
    Meeting,
    MessageDetails,
    Option,
    Quote,
    Rating,
    Story,
    Translation,
)

_SHOP = "https://shop.example/"
_PLACE = Attachment(
    id=61,
    type="location",
    latitude=23.7509,
    longitude=90.3904,
    title="Bashundhara City",
    address="Panthapath, ঢাকা",
)
_CARD = Attachment(
    id=62,
    type="contact",
    contact=ContactCard("রহিমা স্ত্রী", ("+880 1712-345678", "x"), ("rahima@example.org",)),
)
_MARKDOWN = """**Bold** and *slanted* and ~~struck~~, `code *x*`, [our page](https://shop.example/a_b)
- এক
- দুই
  1. three
  2. four

> quoted

```
let x = "<b>";
```
# A heading
snake_case 2*3*4 https://shop.example/p_q_r?a=1&b=২. Call ০১৭১২৩৪৫৬৭৮ or +880 1712-345678, mail lea@example.org.
[bad](javascript:alert(1)) <script>alert(1)</script> \\*no\\*"""  # noqa: E501
_LONG = "\n".join(
    f"Line {n} of a long mail, with স্ত্রী and https://shop.example/{n}" for n in range(90)
)
_OPTIONS = (Option("Dhaka", "dhk"), Option("চট্টগ্রাম", "ctg"))
_CARDS = (
    Card(
        "Red shirt",
        "Cotton, 3 sizes",
        "https://files.example/shirt.png",
        (CardAction("Buy", _SHOP), CardAction("Ask"), CardAction("Evil", "javascript:alert(1)")),
    ),
)
_QUOTED = "> On Monday Léa wrote:\n> Hello\n> again"

# of customers; then of agents
FROM_CUSTOMERS: list[dict[str, Any]] = [
    {"content": _MARKDOWN},
    {"content": "", "attachments": (_PLACE,)},
    {
        "content": "",
        "attachments": (Attachment(id=63, type="location", latitude=-1, longitude=0.5),),
    },
    {"content": "", "attachments": (_CARD,)},
    {"content": "রহিমা স্ত্রী", "attachments": (_CARD,)},
    {
        "content": "",
        "content_type": "sticker",
        "attachments": (Attachment(64, "image", "https://files.example/s.webp"),),
    },
    {"content": "![sticker-52](https://stickers.example/52.png)", "content_type": "sticker"},
    {
        "content": "![sticker-52](https://stickers.example/52.png)",
        "content_type": "sticker",
        "attachments": (Attachment(None, "image", "https://s.example/5.png", is_sticker=True),),
    },
    {
        "content": "Look",
        "attachments": (
            Attachment(68, "ig_post", "https://x.example/1", "https://x.example/t", "1.png"),
            Attachment(69, "ig_reel", "https://x.example/2", mime_type="video/mp4"),
            Attachment(70, "ig_story", "https://x.example/3", mime_type="application/pdf"),
            Attachment(
                71, "story", "https://x.example/4", mime_type="image/png", width=9, height=9
            ),
        ),
    },
    {
        "content": "Is this still there?",
        "details": MessageDetails(ad=Ad("Eid sale: ৩০% off", "All shirts", _SHOP + "ad")),
    },
    {"content": "Yes, that one", "details": MessageDetails(quote=Quote(16))},
    {"content": "And that?", "details": MessageDetails(quote=Quote(99_999))},
    {"content": "Now right", "details": MessageDetails(previous_content="Not right")},
    {
        "content": "",
        "attachments": (
            Attachment(65, "ig_reel", title="Summer", link=_SHOP + "reel/1"),
            Attachment(66, "share", link=_SHOP + "post/1"),
            Attachment(67, "image", "https://files.example/x.png", link=_SHOP + "post/2"),
        ),
    },
    {"content": "Nice", "details": MessageDetails(story=Story(_SHOP + "story/1", "lea.m"))},
    {"content": "Mine?", "details": MessageDetails(story=Story(None, "900700"))},
    {"content": "Shared post", "attachments": (Attachment(72, "ig_post", _SHOP + "1.png"),)},
    {"content": "Shared story", "attachments": (Attachment(73, "ig_story", _SHOP + "2.png"),)},
    {
        "content": "lea.m mentioned you in the story: ",
        "attachments": (Attachment(74, "image", _SHOP + "3.png"),),
    },
    {
        "content": "*Look*: [what I **chose**](https://shop.example/o?a=1&b=2)\n[x](javascript:y)",
        "content_type": "incoming_email",
    },
    {
        "content": f"{_LONG}\n\n{_QUOTED}",
        "content_type": "incoming_email",
        "details": MessageDetails(
            email=Email(
                "Order #5512, কবে আসবে?",
                "other@example.org",
                ("shop@example.org",),
                ("a@example.org", "not an address"),
                quoted=_QUOTED,
            )
        ),
    },
    {
        "content": "",
        "content_type": "incoming_email",
        "details": MessageDetails(email=Email("Only a subject")),
    },
    {
        "content": "",
        "content_type": "voice_call",
        "details": MessageDetails(call=Call("inbound", "no-answer")),
    },
    {
        "content": "",
        "attachments": (
            Attachment(68, "audio", "https://files.example/v.ogg", transcript="Hello, ০১৭১২৩৪৫৬৭৮"),
        ),
        "details": MessageDetails(translations=(Translation("bn", "আমার অর্ডার কোথায়?"),)),
    },
    {"content": "", "details": MessageDetails(is_unsupported=True)},
    {"content": "", "content_type": "poll"},
    {"content": "", "content_type": "a_kind_of_tomorrow"},
    {"content": ""},
    {"content": "x" * 3_000},
]
FROM_AGENTS: list[dict[str, Any]] = [
    {
        "content": "Where to?",
        "content_type": "input_select",
        "details": MessageDetails(options=_OPTIONS, chosen=(Option("চট্টগ্রাম", "ctg"),)),
    },
    {
        "content": "",
        "content_type": "form",
        "details": MessageDetails(
            form=(FormField("Name", "name", "text", "Léa"), FormField("ঠিকানা", "address"))
        ),
    },
    {"content": "Look:", "content_type": "cards", "details": MessageDetails(cards=_CARDS)},
    {"content": "", "content_type": "article", "details": MessageDetails(articles=_CARDS)},
    {
        "content": "Rate us",
        "content_type": "input_csat",
        "details": MessageDetails(rating=Rating(4, "Good, ধন্যবাদ"), sender_kind="automatic"),
    },
    {"content": "Rate us", "content_type": "input_csat"},
    {
        "content": "Leave your address",
        "content_type": "input_email",
        "details": MessageDetails(given_email="lea@example.org", sender_kind="automatic"),
    },
    {"content": "", "content_type": "input_email"},
    {
        "content": "",
        "content_type": "voice_call",
        "details": MessageDetails(call=Call("outbound", "completed", 65)),
    },
    {
        "content": "Come in",
        "content_type": "integrations",
        "details": MessageDetails(meeting=Meeting("dyte")),
    },
    {
        "content": "",
        "content_type": "integrations",
        "details": MessageDetails(meeting=Meeting("dyte")),
    },
    {
        "content": "Ask [@Asha Rahman](mention://user/2/Asha%20Rahman) or [@সহায়তা](mention://team/1/x)",
        "is_private": True,
    },
    *(
        {
            "content": f"from {kind}",
            "sender_name": name,
            "details": MessageDetails(sender_kind=kind),
        }
        for kind, name in (
            ("bot", "Helpy"),
            ("automation", None),
            ("campaign", None),
            ("automatic", None),
            ("channelApp", None),
        )
    ),
]
