"""No key of anybody's is in the source: what looks like one fails here before it is public."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("server", "web", "tests", "docs", "deploy", ".ci")
SHAPES = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=]{20}",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "an address with a password": r"\b(?:mysql|redis|https?)://[^\s:/@{}<>\"']+:(?!password@|pw@|secret@|b@|pass@|[^@\s]*[{<$])[^\s@{}<>\"']{6,}@(?!127\.0\.0\.1|localhost)",
}


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    found += [path for path in ROOT.glob("*") if path.is_file() and path.suffix in (".md", ".toml", ".sql", ".lock", "")]
    return [
        path for path in found if not {"node_modules", "__pycache__", "artefacts"} & set(path.parts) and path.stat().st_size < 1_000_000
    ]


def test_no_file_holds_what_looks_like_a_key() -> None:
    """By the shapes that providers give their keys."""
    read = sources()
    assert len(read) > 200
    found = []
    for path in read:
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {name}" for name, shape in SHAPES.items() if re.search(shape, text)]
    assert found == []


def test_such_keys_would_be_found() -> None:
    """Put together here, so that this file holds none."""
    examples = {
        "a private key": "-----BEGIN " + "PRIVATE KEY-----\n" + "M" * 40,
        "an AWS key": "AKIA" + "A1" * 8,
        "a GitHub token": "ghp" + "_" + "a1" * 18,
        "a Slack token": "xoxb" + "-123456789012-abc",
        "a Google key": "AIza" + "a" * 35,
        "an address with a password": "mysql://omni:" + "hunter2hunter2" + "@db.example.com/crm",
    }
    assert {name for name, shape in SHAPES.items() if re.search(shape, examples[name])} == set(SHAPES)
