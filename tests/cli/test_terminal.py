"""The progress bar is on standard error, on terminals only, and never takes standard output over."""

import io
import sys

from jaxicm.cli.terminal import Terminal, print_table


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_no_bar(capsys):
    with Terminal() as terminal:
        for item in terminal.track([1, 2, 3], "working", 3):
            terminal.result(f"item {item}")
    assert capsys.readouterr() == ("item 1\nitem 2\nitem 3\n", "")


def test_the_bar_of_several_items_is_on_standard_error(monkeypatch):
    out, err = io.StringIO(), FakeTerminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with Terminal() as terminal:
        for item in terminal.track([1, 2, 3], "working", 3):
            terminal.result(f"item {item}")
            terminal.note("careful [brackets]")
    assert out.getvalue() == "item 1\nitem 2\nitem 3\n"
    assert "working" in err.getvalue()
    assert "jaxicm: note: careful [brackets]" in err.getvalue()


def test_one_item_has_no_bar(monkeypatch):
    err = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", err)
    with Terminal(results_to_stderr=True) as terminal:
        for _ in terminal.track([1], "working", 1):
            terminal.result("done")
    assert err.getvalue() == "done\n"


def test_a_table_keeps_its_cells_whole(capsys):
    print_table("title", ("name", "value"), [("[bold]", 12), ("x" * 90, "y" * 60)])
    out = capsys.readouterr().out
    for cell in ("title", "name", "[bold]", "12", "x" * 90, "y" * 60):
        assert cell in out
