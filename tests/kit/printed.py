"""What the inbox's page has printed, as somebody reads it."""

import html
import re

_MESSAGE = re.compile(r'<li class="msg" id="m(\d+)".*?(?=<li class="msg"|<template|$)', re.DOTALL)
_SEEN_ATTRIBUTE = re.compile(r'\b(?:href|src|alt|aria-label|title|data-sticker)="?([^">]*)')


def printed_messages(page: str) -> dict[int, str]:
    """What is read in each message of a thread, by our number of it, and where its links and
    pictures lead.
    """
    return {int(one[1]): _text(one[0]) for one in _MESSAGE.finditer(page)}


def _text(source: str) -> str:
    """What is read in some HTML, and where its links and pictures lead."""
    visible = re.sub(r"<(\w+)[^>]* hidden[^>]*>.*?</\1>", "", source, flags=re.DOTALL)
    texts = re.sub(
        r"<(?:/?(?:p|li|ul|dl|dt|dd|div|button|summary|details|pre)\b)[^>]*>", "\n", visible
    )
    texts = re.sub(r"<[^>]*>", "", texts)
    attributes = "\n".join(_SEEN_ATTRIBUTE.findall(visible))
    marks = "\ndata-sticker" if "data-sticker" in visible else ""
    return html.unescape(texts) + "\n" + html.unescape(attributes) + marks
