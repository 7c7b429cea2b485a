"""Scripts and styles are sent smaller, mean the same, and name the build."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.http.pages.build_files import hash_files, minified_files


def test_scripts_mean_the_same_without_what_only_people_read(tmp_path: Path) -> None:
    """Texts, patterns and templates that hold what looks like a comment stay."""
    (tmp_path / "a.js").write_text(
        '// why\nconst isSafe = (url) => /^https?:\\/\\/[/"]/.test(url);\n'
        'export const link = "https://x"; /* two\n lines */\n'
        "export const shout = (name) => `// ${isSafe(name)} /* ${link}`;\n",
        encoding="utf-8",
    )
    script = minified_files(tmp_path)["a.js"]
    assert "why" not in script
    assert "lines" not in script
    assert '/^https?:\\/\\/[/"]/' in script
    assert '"https://x"' in script
    assert "`// ${" in script
    assert "} /* ${" in script


def test_styles_keep_the_spaces_that_mean_something(tmp_path: Path) -> None:
    """Those of calc() and of descendants; Bengali stays readable."""
    (tmp_path / "a.css").write_text(
        "/* one\n two */\n.x > .y, .z a { margin: calc(1px + 2vw); }\n"
        '.b::after { content: "উত্তর"; }\n',
        encoding="utf-8",
    )
    assert minified_files(tmp_path) == {
        "a.css": '.x>.y,.z a{margin:calc(1px + 2vw)}.b::after{content:"উত্তর"}'
    }


def test_a_script_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    """The server does not start with half a page."""
    (tmp_path / "half.js").write_text("export const a = (", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"half\.js"):
        minified_files(tmp_path)


def test_another_script_is_another_build(tmp_path: Path) -> None:
    """And so is another font; a comment alone is none."""
    builds = []
    for number, (script, font) in enumerate([("a=1", "x"), ("a=1 // y", "x"), ("a=2", "x")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.js").write_text(script, encoding="utf-8")
        (folder / "font.woff2").write_text(font, encoding="utf-8")
        builds.append(hash_files(folder))
    assert builds[0] == builds[1] != builds[2]


def test_the_library_lives_in_no_server() -> None:
    """It brings threads and memory of another language's runtime."""
    program = (
        "import sys\nfrom server.http.pages.build_files import minified_files\n"
        "from server.web_folder import web_folder\n"
        "assert minified_files(web_folder() / 'static')\n"
        "assert 'minify' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
