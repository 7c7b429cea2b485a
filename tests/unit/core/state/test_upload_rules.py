"""Files to be sent: kinds that are taken, and names that stay names."""

import pytest

from server.core.state.upload_rules import checked_file
from server.errors import Unprocessable, UnsupportedMedia


@pytest.mark.parametrize(
    ("name", "given", "kind", "family"),
    [
        ("a.png", "image/png", "image/png", "image"),
        ("a.ogg", "audio/ogg; codecs=opus", "audio/ogg", "audio"),
        ("a.mp4", "VIDEO/MP4", "video/mp4", "video"),
        ("a.pdf", "application/pdf", "application/pdf", "file"),
        ("a.csv", "", "text/csv", "file"),
        ("a.jpg", "application/octet-stream", "image/jpeg", "image"),
        (
            "a.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            None,
            "file",
        ),
    ],
)
def test_pictures_sound_video_and_documents_are_taken(
    name: str, given: str, kind: str | None, family: str
) -> None:
    """By their type, or by their ending where the browser knows none."""
    line = checked_file(name, given, 7)
    assert (line.name, line.content_type, line.size_bytes) == (name, kind or given, 7)
    shown = line.attachment
    assert (shown.type, shown.name, shown.size_bytes, shown.url, shown.id) == (
        family,
        name,
        7,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.exe", "application/x-msdownload"),
        ("a.js", "text/javascript"),
        ("a", ""),
        ("a.exe", "application/octet-stream"),
        ("a.png", 'image/png"; filename="b'),
        ("a.png", "image/png\r\nX: y"),
        ("a.png", "image/" + "x" * 300),
    ],
)
def test_what_a_machine_would_run_is_refused(name: str, kind: str) -> None:
    """And what nobody knows."""
    with pytest.raises(UnsupportedMedia):
        checked_file(name, kind, 7)


def test_an_empty_file_is_refused() -> None:
    """Chatwoot would show a bubble with nothing in it."""
    with pytest.raises(Unprocessable):
        checked_file("a.png", "image/png", 0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\photo.png", "photo.png"),
        ("a\r\nb\x00.png", "ab.png"),
        ("\u202egnp.exe.png", "gnp.exe.png"),
        ("রসিদ.png", "রসিদ.png"),
        ("  ..  ", "file"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_names_lose_folders_and_hidden_letters(given: str, kept: str) -> None:
    """The ending is kept, for it says what the file is."""
    assert checked_file(given, "image/png", 1).name == kept
