"""The figure of a comparison: what it shows, that it fits, and how it gets to its file."""

import itertools
import warnings

import matplotlib as mpl
import pytest
from PIL import Image

from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.plots.comparison import MINUS, MOST_ROWS, Row, draw_comparison
from cifarzoo.plots.files import check_target, save
from cifarzoo.plots.style import COLOURS, MARKERS, look, shortened, styled, wrapped
from tests.full_disk import no_file_larger_than

LONG = "lr=0.1,run.regularizers=[@confidence_penalty, @stochastic_depth],mixup.alpha=0.4"
ODD = ["$x^2$ $", "_hidden", "[red]a[/red]", "a\x1b[2J\nb", LONG, "日本", r"\frac{1}{2}", "%&#{}"]


def row(name, values, difference=None, *, verdict="", epochs=3):
    mean = sum(values) / len(values)
    curves = [{n: 2 * value - value * n / epochs for n in range(1, epochs + 1)} for value in values]
    half = 0.2 if len(values) > 1 else None
    return Row(
        name=name,
        curves=curves,
        values=values,
        mean=mean,
        interval=half and (mean - half, mean + half),
        difference=difference,
        difference_interval=None if difference is None else (difference - 0.3, difference + 0.3),
        verdict=verdict,
    )


@pytest.fixture
def rows():
    return [
        row("base", [5.0, 5.2, 5.1]),
        row("low", [4.5, 4.7, 4.6], -0.5, verdict="better"),
        row("same", [5.1, 5.0, 5.2], 0.0, verdict="cannot tell"),
    ]


def all_axes(figure):
    return [axes for axes in figure.findobj(mpl.axes.Axes) if axes.axison]


def drawn(axes):
    """The lines of a panel, by their points."""
    return [list(zip(*line.get_data(), strict=True)) for line in axes.lines]


def texts(figure):
    """All texts that are drawn, which ticks beyond an axis aren't."""
    with styled():
        figure.draw_without_rendering()
    found = []
    for axes in figure.findobj(mpl.axes._base._AxesBase):  # a second axis is one too
        found += [axes.title, axes._left_title]
        for axis in (axes.xaxis, axes.yaxis):
            found += [axis.label, *(tick.label1 for tick in axis._update_ticks())]
            found += [tick.label2 for tick in axis._update_ticks()]
    found += [text for legend in figure.findobj(mpl.legend.Legend) for text in legend.get_texts()]
    return [text for text in dict.fromkeys(found) if text.get_text() and text.get_visible()]


def labels(figure):
    return [text.get_text() for text in texts(figure)]


def test_curves_are_those_of_the_seeds_with_their_mean_and_deviation(rows):
    [axes] = all_axes(draw_comparison(rows[:1], "test error", ["curves"]))
    *seeds, mean = drawn(axes)
    assert seeds == [list(curve.items()) for curve in rows[0].curves]
    assert [y for _, y in mean] == pytest.approx([2 * 5.1 - 5.1 * n / 3 for n in (1, 2, 3)])
    [band] = axes.collections
    low, high = band.get_datalim(axes.transData).intervaly
    assert high == pytest.approx(2 * 5.1 - 1.7 + 0.1 * 5 / 3)
    assert low == pytest.approx(5.1 - 0.1)
    assert axes.get_ylabel() == "test error, %"


def test_a_mean_is_of_the_epochs_that_all_seeds_have(rows):
    short = Row(
        name="a", curves=[{1: 9.0, 2: 8.0}, {1: 7.0}], values=[8, 7], mean=7.5, interval=None
    )
    [axes] = all_axes(draw_comparison([short], "test error", ["curves"]))
    assert drawn(axes)[-1] == [(1, 8.0)]


def test_a_mean_of_fewer_curves_than_seeds_says_so(rows):
    fewer = Row(**{**vars(rows[0]), "curves": rows[0].curves[:2]})
    assert "base (2 of 3 seeds)" in labels(draw_comparison([fewer, rows[1]], "test error"))


def test_rows_show_each_seed_the_mean_and_its_interval(rows):
    [axes] = all_axes(draw_comparison(rows, "test error", ["seeds"]))
    seeds, interval, mean = drawn(axes)[3:6]
    assert [x for x, _ in seeds] == [4.5, 4.7, 4.6]
    assert [x for x, _ in interval] == pytest.approx([4.4, 4.8])
    assert [x for x, _ in mean] == pytest.approx([4.6])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["base", "low", "same"]


def test_differences_are_full_where_something_can_be_told(rows):
    figure = draw_comparison(rows, "test error", ["differences"])
    axes = all_axes(figure)[0]
    zero, told_bar, told, _, untold = axes.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert list(told_bar.get_xdata()) == pytest.approx([-0.8, -0.2])
    assert told.get_markerfacecolor() != "white"
    assert untold.get_markerfacecolor() == "white"
    assert f"{MINUS}0.50 ({MINUS}0.80 to {MINUS}0.20)\nbetter" in labels(figure)


def test_an_interval_far_wider_than_the_others_does_not_hide_them(rows):
    wide = Row(**{**vars(rows[2]), "difference_interval": (-50.0, 50.0)})
    axes = all_axes(draw_comparison([*rows, rows[1], wide], "test error", ["differences"]))[0]
    low, high = axes.get_xlim()
    assert low < -0.8
    assert high < 2


def test_errors_that_shrink_to_less_than_a_quarter_are_on_a_logarithmic_axis():
    def scale(*curve):
        curves = [dict(enumerate(curve))]
        one = Row(name="a", curves=curves, values=[1.0], mean=1.0, interval=None)
        return all_axes(draw_comparison([one], "test error"))[0].get_yscale()

    assert scale(90.0, 5.0) == "log"
    assert scale(9.0, 5.0) == "linear"
    assert scale(90.0, 0.0) == "linear"


def test_names_are_text_and_all_of_them_are_there(tmp_path):
    figure = draw_comparison([row(name, [5.0, 5.1]) for name in ODD], "test error")
    shown = labels(figure)
    for name in ("$x^2$ $", "_hidden", "[red]a[/red]", r"\frac{1}{2}", "%&#{}"):
        assert shown.count(name) + shown.count(f" {name}") == 2, name  # in the legend and at a row
    assert r"a\x1b[2J\nb" in shown
    assert not any(text.get_parse_math() for text in texts(figure))
    save(figure, tmp_path / "odd.png")


@pytest.mark.parametrize("number", [1, 2, 5, 8, 13])
def test_no_text_lies_on_another_or_leaves_the_figure(number):
    names = [f"{LONG}-{n}" for n in range(number)]
    made = [
        row(name, [5.0 + 0.1 * n, 5.3], n and 0.1 * n, verdict="cannot tell")
        for n, name in enumerate(names)
    ]
    made[0] = row(names[0], [5.0, 5.3])
    figure = draw_comparison(made, "test-time augmented test error")
    shown = texts(figure)
    assert len(shown) > 10 + 2 * number
    with styled():
        boxes = [text.get_window_extent() for text in shown]
    whole = figure.bbox
    assert [box for box in boxes if box.x0 < -1 or box.x1 > whole.x1 + 1] == []
    assert [box for box in boxes if box.y0 < -1 or box.y1 > whole.y1 + 1] == []
    on_another = [
        (one, other)
        for one, other in itertools.combinations(boxes, 2)
        if one.x0 < other.x1 - 1
        and other.x0 < one.x1 - 1
        and one.y0 < other.y1 - 1
        and other.y0 < one.y1 - 1
    ]
    assert on_another == []


def test_groups_that_follow_each_other_are_told_apart_by_colour_and_marker():
    assert len({look(number) for number in range(len(COLOURS) * len(MARKERS))}) == 56


def test_names_are_broken_where_they_have_joints_and_shortened_in_the_middle():
    assert wrapped("lr=0.1,mixup", width=26, lines=3) == "lr=0.1,mixup"
    assert wrapped("lr=0.1,mixup=0.4,cutout", width=12, lines=3) == "lr=0.1,\nmixup=0.4,\ncutout"
    assert shortened("abcdefghijkl", 9) == "abcde…jkl"
    for text in (LONG, LONG.replace(",", ""), "x" * 500):
        broken = wrapped(text, width=28, lines=3).split("\n")
        assert len(broken) <= 3
        assert max(map(len, broken)) <= 28


@pytest.mark.parametrize("suffix", ["pdf", "png", "svg", "PNG"])
def test_the_same_figure_is_the_same_file(rows, tmp_path, suffix):
    written = []
    for name in ("one", "two"):
        save(draw_comparison(rows, "test error"), tmp_path / f"{name}.{suffix}")
        written.append((tmp_path / f"{name}.{suffix}").read_bytes())
    assert written[0] == written[1]
    assert b"2026" not in written[0]
    if suffix == "png":
        with Image.open(tmp_path / "one.png") as image:
            assert image.size[0] == 1400


def test_what_a_user_has_set_of_matplotlib_is_left_and_changes_nothing(rows, tmp_path):
    save(draw_comparison(rows, "test error"), tmp_path / "one.svg")
    with mpl.rc_context({"font.size": 30, "text.parse_math": True, "axes.grid": False}):
        save(draw_comparison(rows, "test error"), tmp_path / "two.svg")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_too_many_groups_and_nothing_to_draw_are_refused(rows):
    with pytest.raises(UsageError, match=rf"^{MOST_ROWS + 1} groups are too many .* {MOST_ROWS}$"):
        draw_comparison([rows[0]] * (MOST_ROWS + 1), "test error")
    with pytest.raises(UsageError, match="nothing to draw: one group, and no differences"):
        draw_comparison(rows[:1], "test error", ["differences"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a", r"a is no name of a figure; expected one in .pdf, .png or .svg$"),
        ("a.pgn", r"expected one in .pdf, .png or .svg; did you mean png\?$"),
        ("none/a.png", r"none/a.png cannot be written: .*none is not a folder$"),
        ("file/a.png", r"file/a.png cannot be written: .*file is not a folder$"),
        ("folder.png", r"folder.png cannot be used: it is a folder; expected a file$"),
        ("link.png", r"link.png cannot be used: it is a link to 'x'; expected the file itself$"),
        ("n" * 300 + ".png", r"cannot be written: File name too long$"),
        ("a\0.png", r"cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path, name, says):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("x")
    with pytest.raises(UsageError, match=says):
        check_target(tmp_path / name)


def test_on_a_full_disk_the_file_stays_as_it_was(rows, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    figure = draw_comparison(rows, "test error")
    with (
        no_file_larger_than(1000),
        pytest.raises(CifarzooError, match=r"a.png cannot be written: File too large$"),
    ):
        save(figure, path)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_letters_without_a_picture_are_no_warning(rows, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(draw_comparison([row("日本", [5.0])], "test error"), tmp_path / "a.pdf")
