"""What the page costs before it is shown, as it is served: a budget, so that it grows by decision
and not by habit.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.http.pages.build_files import minified_files

STATIC = Path(__file__).parents[2] / "web" / "static"
# what is loaded before the page is shown, and the SharedWorker; each module compressed by itself
FIRST_MOST_BYTES = 25_000
# all other modules: those fetched when they are used, those of other pages
LATER_MOST_BYTES = 60_000
# style sheets: of all pages, of what stands in bubbles, of what marks rows; each by itself
STYLES_MOST_BYTES = {"app.css": 5_000, "message.css": 1_500, "marks.css": 800}
ALL_STYLES_MOST_BYTES = 8_000
SCRIPTS = sorted((STATIC / "js").rglob("*.js"))
# static ones: import() is not among them
IMPORTS = re.compile(r'^(?:import|export)\b[^;"]*"(\.[^"]+)"', re.MULTILINE)
# Node has brotli built in, Python has not
COMPRESS = """const { brotliCompressSync } = require("node:zlib");
const files = JSON.parse(require("node:fs").readFileSync(0));
console.log(files.reduce((total, text) => total + brotliCompressSync(text).length, 0));"""


def loaded_with(*names: str) -> set[Path]:
    """Those modules and all they import."""
    found: set[Path] = set()
    new = {STATIC / "js" / name for name in names}
    while new:
        file = new.pop()
        found.add(file)
        new |= {
            (file.parent / other).resolve()
            for other in IMPORTS.findall(file.read_text(encoding="utf-8"))
        } - found
    return found


def served(file: Path) -> str:
    return minified_files(STATIC)[file.relative_to(STATIC).as_posix()]


def weigh(files: set[Path]) -> int:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    texts = json.dumps([served(file) for file in sorted(files)])
    done = subprocess.run(
        [node, "-e", COMPRESS], input=texts, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_what_is_loaded_first_stays_within_its_budget() -> None:
    """25 kB of brotli, the SharedWorker's included."""
    assert weigh(loaded_with("main.js", "live-worker.js")) <= FIRST_MOST_BYTES


def test_everything_else_stays_within_its_budget() -> None:
    """60 kB of brotli: what is not needed at first costs something too."""
    assert weigh(set(SCRIPTS) - loaded_with("main.js", "live-worker.js")) <= LATER_MOST_BYTES


def test_the_page_preloads_what_it_loads_first_and_nothing_else() -> None:
    """The modules beside main.js are those it imports; what is fetched when it is used lies in a
    folder below.
    """
    beside = {file for file in SCRIPTS if file.parent == STATIC / "js"}
    assert beside == loaded_with("main.js") | {STATIC / "js" / "live-worker.js"}


@pytest.mark.parametrize(("name", "most_bytes"), STYLES_MOST_BYTES.items())
def test_the_style_sheet_stays_within_its_budget(name: str, most_bytes: int) -> None:
    """Compressed by brotli, as scripts are weighed: 5 kB for all pages, 1.5 kB for
    what stands in bubbles, 0.8 kB for what marks rows; all of them are there before the page is.
    """
    assert weigh({STATIC / name}) <= most_bytes


def test_all_style_sheets_together_stay_within_their_budget() -> None:
    """8 kB of brotli, those of the administrators' pages included."""
    assert weigh(set(STATIC.glob("*.css"))) <= ALL_STYLES_MOST_BYTES


@pytest.mark.parametrize(
    "file", SCRIPTS, ids=lambda file: file.relative_to(STATIC / "js").as_posix()
)
def test_a_script_is_still_a_script_as_it_is_served(file: Path) -> None:
    """A module that parses, with the names that others import from it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    done = subprocess.run(
        [node, "--check", "--input-type=module"],
        input=served(file),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert exports(served(file)) == exports(file.read_text(encoding="utf-8"))


def exports(source: str) -> set[str]:
    """The names that a module exports."""
    declared = re.findall(r"\bexport (?:async )?(?:const|let|class|function\*?) ([\w$]+)", source)
    listed = re.findall(r"\bexport ?\{([^}]*)\}", source)
    return {*declared, *(name.split()[-1] for part in listed for name in part.split(","))}
