from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.cli.chart import BAR, HEIGHT, POINT, STEP, TARGET, Point, chart


def lines(*points: Point, target: float | None = None, width: int = 60) -> list[str]:
    return chart("force RMSE (meV/Å)", points, target, width=width).plain.splitlines()


def test_a_larger_error_stands_higher_and_its_interval_around_it() -> None:
    drawn = lines(Point(0, 40.0, 30.0, 50.0), Point(1, 20.0, 15.0, 25.0))
    rows = [row for row, line in enumerate(drawn) if POINT in line]
    assert len(rows) == 2
    assert drawn[rows[0]].index(POINT) + STEP == drawn[rows[1]].index(POINT)
    assert any(BAR in line for line in drawn[1:])
    assert drawn[0] == "force RMSE (meV/Å)"
    assert (drawn[1].split()[0], drawn[HEIGHT].split()[0]) == ("50", "15")
    assert drawn[-1].split() == ["0", "1"]


def test_the_target_is_a_line_that_is_named() -> None:
    drawn = lines(Point(0, 400.0, 300.0, 500.0), Point(1, 30.0, 20.0, 40.0), target=60.0)
    (line,) = [line for line in drawn if TARGET in line]
    assert line.split()[0] == "60"


def test_of_many_iterations_the_latest_are_drawn() -> None:
    drawn = lines(*[Point(index, 1.0, 1.0, 1.0) for index in range(40)], width=40)
    assert max(map(len, drawn)) <= 40
    assert drawn[-1].split()[-1] == "39"


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted), min_size=1, max_size=30),
    st.none() | st.floats(1e-6, 1e6),
    st.integers(20, 120),
)
def test_every_error_is_drawn_inside(errors: list[list[float]], target: float | None, width: int) -> None:
    points = [Point(index, error[1], error[0], error[2]) for index, error in enumerate(errors)]
    drawn = lines(*points, target=target, width=width)
    assert len(drawn) == HEIGHT + 3
    assert sum(line.count(POINT) for line in drawn) == len(drawn[-1].split())
