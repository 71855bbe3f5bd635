"""The progress bar is on standard error, on terminals only, and never takes standard output over."""

import io
import sys

import pytest

from jaxicm.cli.terminal import Terminal, cost_change, print_table


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


def last_screen_line(text: str) -> str:
    """Return what a terminal shows in the line where the cursor is: each erasure begins it anew."""
    return text.rsplit("\n", 1)[-1].rsplit("\033[K", 1)[-1].strip("\r")


def test_steps_of_one_picture_are_shown_until_its_result_is_printed(monkeypatch):
    err = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", err)
    with Terminal(results_to_stderr=True) as terminal:
        terminal.show_adapting(32, 176, 0.971)
        assert last_screen_line(err.getvalue()) == "adapting 32/176, cost -2.9 %"
        terminal.show_fitting(3, 20, 2.98765)
        assert last_screen_line(err.getvalue()) == "fitting 3/20, 2.988 bits a sample"
        terminal.result("done")
        assert err.getvalue().endswith("\033[K\rdone\n")
        terminal.show_adapting(32, 176, 0.971)
    assert last_screen_line(err.getvalue()) == "", "an error ends it as well"


@pytest.mark.parametrize("show", [Terminal.show_adapting, Terminal.show_fitting])
def test_the_last_step_clears_the_line(monkeypatch, show):
    err = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", err)
    show(Terminal(), 8, 8, 0.5)
    assert last_screen_line(err.getvalue()) == ""


def test_steps_of_one_of_several_pictures_stand_before_the_bar(monkeypatch):
    err = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("COLUMNS", "150")
    with Terminal() as terminal:
        for _ in terminal.track([1, 2], "encoding", 2):
            terminal.show_adapting(32, 176, 0.971)
            assert terminal._progress is not None
            terminal._progress.refresh()
    assert "encoding, adapting 32/176, cost -2.9 %" in err.getvalue()


def test_without_a_terminal_no_steps_are_shown(capsys):
    with Terminal() as terminal:
        terminal.show_adapting(32, 176, 0.971)
        terminal.result("done")
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize(("share", "text"), [(0.969, "cost -3.1 %"), (1.0, "cost -0.0 %"), (0.5, "cost -50.0 %")])
def test_a_change_of_cost_never_rises(share, text):
    assert cost_change(share) == text


def test_a_table_keeps_its_cells_whole(capsys):
    print_table("title", ("name", "value"), [("[bold]", 12), ("x" * 90, "y" * 60)])
    out = capsys.readouterr().out
    for cell in ("title", "name", "[bold]", "12", "x" * 90, "y" * 60):
        assert cell in out
