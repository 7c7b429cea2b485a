"""What the page costs before it is shown, as it is served: a budget, so that it grows by decision and not by habit."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.core.page_files import strip_script, strip_style

STATIC = Path(__file__).parents[2] / "web" / "static"
SCRIPTS_MOST_BYTES = 25_000  # all modules, each compressed by itself
STYLES_MOST_BYTES = 15_000  # not compressed
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
# Node has brotli built in, Python has not
COMPRESS = """const { brotliCompressSync } = require("node:zlib");
const files = JSON.parse(require("node:fs").readFileSync(0));
console.log(files.reduce((total, text) => total + brotliCompressSync(text).length, 0));"""


def test_all_scripts_together_stay_within_their_budget() -> None:
    """25 kB of brotli, the SharedWorker's included."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    texts = json.dumps([strip_script(file.read_text(encoding="utf-8")) for file in SCRIPTS])
    done = subprocess.run([node, "-e", COMPRESS], input=texts, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= SCRIPTS_MOST_BYTES


def test_the_style_sheet_stays_within_its_budget() -> None:
    """15 kB."""
    assert len(strip_style((STATIC / "app.css").read_text(encoding="utf-8")).encode()) <= STYLES_MOST_BYTES


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_is_still_a_script_as_it_is_served(file: Path) -> None:
    """And it is written so that it can be stripped: no template over two lines or in another one, no comment that begins with
    /*, no property called like a constant."""
    source = file.read_text(encoding="utf-8")
    for line in source.splitlines():
        assert line.count("`") % 2 == 0, line
        assert not line.lstrip().startswith("/*"), line
    for name in re.findall(r"^const ([A-Z][A-Z_]+) =", source, re.MULTILINE):  # it is served under another name
        assert not re.search(rf"\.{name}\b|[{{,]\s*{name}\s*:|\{{\s*{name}\s*[,}}]", source), name
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    served = strip_script(source)
    done = subprocess.run([node, "--check", "--input-type=module"], input=served, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
