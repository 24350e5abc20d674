import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from perfcore.report.printable import printable
from perfcore.report.sheet import Cell, Column, Sheet, cut, cut_middle


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_whatever_comes_in_only_printable_characters_come_out(text):
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb", r"a\r\nb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\udcff", r"\udcff"),
        ("[bold]ü 漢[/]", "[bold]ü 漢[/]"),
    ],
)
def test_commands_to_the_terminal_are_shown_as_escapes(raw, shown):
    assert printable(raw) == shown


@given(st.text("abc漢字 é"), st.integers(0, 40))
def test_a_cut_text_is_never_wider_than_asked(text, width):
    assert cell_len(cut(text, width)) <= width
    assert cell_len(cut_middle(text, width)) <= width


def test_a_name_is_shortened_in_the_middle():
    assert cut_middle("get_user_profile_of_tenant_17", 20) == "get_user_prof…ant_17"


@given(
    st.lists(
        st.tuples(st.text("abc漢字", max_size=60), st.text("0123456789", max_size=9)), min_size=1, max_size=5
    ),
    st.integers(40, 200),
)
def test_a_table_is_never_wider_than_the_sheet(rows, width):
    columns = [Column("name", left=True), Column("kept"), Column("gone", 1), Column("later gone", 2)]
    cells = [[Cell(name), Cell(number), Cell(number), Cell(number)] for name, number in rows]
    assert all(cell_len(line) <= width for line in Sheet(width).table(columns, cells))


def test_columns_go_in_their_order_before_the_name_is_cut_short():
    columns = [Column("name", left=True), Column("a" * 10, 2), Column("b" * 10, 1), Column("c" * 10)]
    row = [Cell("n" * 16)] + [Cell("1")] * 3
    titles = {width: Sheet(width).table(columns, [row])[0].split() for width in (60, 48, 40)}
    assert titles == {
        60: ["name", "a" * 10, "b" * 10, "c" * 10],
        48: ["name", "a" * 10, "c" * 10],
        40: ["name", "c" * 10],
    }


def test_a_table_without_rows_has_its_titles():
    assert Sheet(80).table([Column("name", left=True), Column("n")], []) == ["  name  n"]


def test_without_colour_nothing_is_painted():
    assert Sheet(80).paint("x", "bold red") == "x"
    assert Sheet(80, color=True).paint("x", "bold red") == "\x1b[1;31mx\x1b[0m"
