"""Runs source as a notebook does: piece by piece in one namespace, each piece's source kept."""

import ast
import contextlib
import io
import linecache


class Notebook:
    """Cells share `names`; a cell gives what it prints, and the value of its last line."""

    def __init__(self) -> None:
        self.names: dict = {"__name__": "__main__"}
        self.count = 0

    def run(self, source: str) -> str:
        self.count += 1
        name = f"<cell {self.count} of {id(self)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        *body, last = _statements(source)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for text in body:
                exec(compile(text, name, "exec"), self.names)
            try:
                code = compile(last, name, "eval")
            except SyntaxError:
                exec(compile(last, name, "exec"), self.names)
            else:
                value = eval(code, self.names)
                if value is not None:
                    print(repr(value))
        return printed.getvalue()


def _statements(source: str) -> list[str]:
    """Each statement at its own line, so that line numbers are those of the cell."""
    lines = source.splitlines(keepends=True)
    texts = []
    for node in ast.parse(source).body:
        first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
        texts.append("\n" * (first - 1) + "".join(lines[first - 1 : node.end_lineno]))
    return texts
