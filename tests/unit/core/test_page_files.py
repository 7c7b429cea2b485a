"""Scripts and styles lose what only people read, and nothing else."""

from server.core.page_files import strip_script, strip_style


def test_comments_and_indentation_go_texts_stay() -> None:
    """An address in a text and a pattern with slashes are no comments."""
    source = 'const a = "https://x"; // why\n  // a line\n\n  if (/^https?:\\/\\//.test(a)) b(`${a} // c`);\n'
    assert strip_script(source) == 'const a = "https://x";\nif (/^https?:\\/\\//.test(a)) b(`${a} // c`);\n'


def test_line_breaks_that_may_end_a_statement_stay() -> None:
    """Scripts are not parsed, so lines are not joined."""
    assert strip_script("let a = 1\n  let b = 2\n") == "let a = 1\nlet b = 2\n"


def test_styles_keep_the_spaces_that_mean_something() -> None:
    """Those of calc() and of descendants."""
    source = "/* one\n two */\n@layer a, b;\n.x > .y, .z a { margin: calc(1px + 2px); color: red; }\n"
    assert strip_style(source).strip() == "@layer a,b;.x > .y,.z a{margin: calc(1px + 2px);color: red}"
