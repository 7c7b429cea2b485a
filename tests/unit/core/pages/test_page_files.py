"""Scripts and styles lose what only people read, and nothing else."""

import pytest

from server.core.pages.page_files import strip_script, strip_style


@pytest.mark.parametrize(
    ("source", "served"),
    [
        ('const a = "https://x"; // why\n  // a line\n\n  b(a)', 'const a="https://x";b(a)'),
        (
            'const isSafe = (url) => /^https?:\\/\\/[/"]/.test(url); // x',
            'const isSafe=url=>/^https?:\\/\\/[/"]/.test(url);',
        ),
        ("let a = b / c; // d / e", "let a=b/c;"),
        ("let a = 1\n  let b = 2", "let a=1\nlet b=2"),
        ("a = b\n(c)", "a=b\n(c)"),
        ("return [\n  a,\n  b,\n];", "return[a,b];"),
        ("a + +b - -c", "a+ +b- -c"),
        (
            "class A {\n  #long = 1;\n\n  get x() {\n    return this.#long;\n  }\n}",
            "class A{#a=1;get x(){return this.#a}}",
        ),
        ("class A {\n  #b; c = `#b ${this.#b} // c`;\n}", "class A{#a;c=`#b ${this.#a} // c`}"),
        (
            "// why\nconst MOST = 5;\nlet a = MOST + B.MOST_MS + `${MOST} MOST`;",
            "const $a=5;let a=$a+B.MOST_MS+`${$a} MOST`;",
        ),
        (
            "a = (b) => (c, d) => async (e) => { return (f) => 15_000; }",
            "a=b=>(c,d)=>async(e)=>{return(f)=>15000}",
        ),
        ("export const MOST = 5;\nconst B = { MOST };", "export const MOST=5;const B={MOST};"),
        ("a ? 'it\\'s' : \"\\\"\"", "a?'it\\'s':\"\\\"\""),
        (
            "import { a } from './b.js';\nexport const c = async (d) => await d;",
            "import{a}from'./b.js';export const c=async(d)=>await d;",
        ),
    ],
)
def test_scripts_mean_the_same(source: str, served: str) -> None:
    """Texts, patterns and the line breaks that may end a statement stay; names that no other file
    can know get short ones.
    """
    assert strip_script(source) == served + "\n"


def test_styles_keep_the_spaces_that_mean_something() -> None:
    """Those of calc() and of descendants."""
    source = (
        "/* one\n two */\n@layer a, b;\n.x > .y, .z a { margin: calc(1px + 2px); color: red; }\n"
    )
    assert (
        strip_style(source).strip() == "@layer a,b;.x>.y,.z a{margin: calc(1px + 2px);color: red}"
    )
