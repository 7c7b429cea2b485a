"""What can be pressed in a text: addresses of the web and of mail, and phone numbers.

Only http, https, mailto and tel are ever linked. static/js/later/links.js does the same.
"""

import re

from server.core.pages.page_nodes import Node, element

# what no address holds: space, controls and marks that turn the direction of writing
_SPACES = (
    r"\u0000-\u0020\u007f-\u00a0\u061c\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
)
SPACE = re.compile(f"[{_SPACES}]")
_IN_ADDRESS = rf"[^{_SPACES}<>\"`\\^{{|}}]"
URL = rf"(?<![A-Za-z0-9])https?://{_IN_ADDRESS}+|(?<![A-Za-z0-9@/.])www\.{_IN_ADDRESS}+"
MAIL = (
    r"(?<![A-Za-z0-9._+@-])[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@"
    r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}(?![A-Za-z0-9@])"
)
PHONE = (
    r"(?<![A-Za-z0-9০-৯_+/=&?#.-])(?:\+ ?)?[0-9০-৯](?:[ ()-]{0,2}[0-9০-৯]){7,16}(?![A-Za-z0-9০-৯_])"
)
LINKS = rf"(?P<url>{URL})|(?P<mail>{MAIL})|(?P<phone>{PHONE})"
_ADDRESS = re.compile(rf"(?=https?://[^/?#@]+(?:[/?#]|$)){_IN_ADDRESS}+")
_MAILTO = re.compile(rf"mailto:{MAIL}")
_TEL = re.compile(r"tel:\+?[0-9-]{3,20}")
_DATE = re.compile(r"[0-3]?[0-9]-[01]?[0-9]-[0-9]{4}")
_ENDS = ".,;:!?'*_~]।…"
_MAX_ADDRESS = 2_000
_OUTSIDE = {"target": "_blank", "rel": "noopener noreferrer nofollow", "dir": "auto"}
_LATIN = {0x09E6 + n: ord("0") + n for n in range(10)}


def safe_address(address: str | None) -> str | None:
    """Return the address where it is one of the web that says plainly where it leads; else None."""
    if not address or len(address) > _MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        return None
    return address


def outside(address: str, *children: Node, title: str | None = None) -> Node:
    """Return a link out of the inbox, to an address that is safe."""
    return element("a", {"href": address, **_OUTSIDE, "title": title}, *children)


def target_link(target: str, label: str) -> Node | None:
    """Return the link that somebody wrote with a label; None where its target is none of ours to
    open. Where it leads is said with it.
    """
    if (address := safe_address(target)) is not None:
        return outside(address, label or address, title=address if label != address else None)
    if _MAILTO.fullmatch(target) or _TEL.fullmatch(target):
        return element("a", {"href": target, "dir": "auto", "title": target}, label or target)
    return None


def mail_link(address: str) -> Node:
    """Return an e-mail address as a link; as text where it is none."""
    if not re.fullmatch(MAIL, address):
        return address
    return element("a", {"href": f"mailto:{address}", "dir": "auto"}, address)


def phone_link(text: str) -> Node:
    """Return a number of a contact's card as a link; as text where it cannot be called."""
    digits = _dialled(text)
    if not re.fullmatch(r"\+?[0-9]{3,20}", digits):
        return text
    return element("a", {"href": f"tel:{digits}", "dir": "ltr"}, text)


def found_link(kind: str, text: str) -> tuple[Node, int]:
    """Return what `LINKS` found as a link, or as text, and how many characters of it that takes:
    the sign that ends a sentence is none of an address.
    """
    if kind == "mail":
        return mail_link(text), len(text)
    if kind == "phone":
        return (phone_link(text) if _is_phone(text) else text), len(text)
    taken = _without_end(text)
    shown = text[:taken]
    address = safe_address(shown if shown.startswith("http") else f"https://{shown}")
    return (outside(address, shown) if address else shown), taken


def _without_end(text: str) -> int:
    taken = len(text)
    has_bracket = "(" in text
    while taken > 1 and (text[taken - 1] in _ENDS or (text[taken - 1] == ")" and not has_bracket)):
        taken -= 1
    return taken


def _dialled(text: str) -> str:
    return re.sub(r"[ ()-]", "", text.translate(_LATIN))


def _is_phone(text: str) -> bool:
    """Whether it is a number to call: international, or with the 0 of one's own country. Numbers of
    orders and dates are not.
    """
    digits = _dialled(text)
    if _DATE.match(text.translate(_LATIN)):
        return False
    if digits.startswith("+"):
        return 9 <= len(digits) <= 16
    return digits.startswith("0") and 9 <= len(digits) <= 12
