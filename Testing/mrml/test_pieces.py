"""Work in pieces, as an application and a script do it."""

from __future__ import annotations

import math

import pytest

from CardiacSegLib.mrml.pieces import Pieces, Work, finished, part_of


def four_pieces(done: list[int]) -> Pieces[str]:
    for number in range(1, 5):
        done.append(number)
        yield number / 5
    done.append(5)
    return "the result"


def test_an_application_does_one_piece_at_a_time_and_sees_how_far_it_is():
    done: list[int] = []
    work = Work(four_pieces(done))
    assert (work.share, work.is_done, work.result) == (0.0, False, None)
    for number in range(1, 5):
        work.go_on(0.0)
        assert (done[-1], work.share, work.is_done) == (number, number / 5, False)
    work.go_on(0.0)
    assert (work.is_done, work.result) == (True, "the result")


def test_it_does_as_many_as_there_is_time_for():
    work = Work(four_pieces([]))
    work.go_on(math.inf)
    assert work.result == "the result"


def test_a_script_does_them_all():
    done: list[int] = []
    assert finished(four_pieces(done)) == "the result"
    assert done == [1, 2, 3, 4, 5]


def test_what_is_closed_goes_no_further():
    done: list[int] = []
    work = Work(four_pieces(done))
    work.go_on(0.0)
    work.close()
    work.go_on(math.inf)
    assert (done, work.result) == ([1], None)


def test_a_piece_that_fails_is_the_last():
    def failing() -> Pieces[None]:
        yield 0.5
        raise ValueError("a bad piece")

    work = Work(failing())
    work.go_on(0.0)
    with pytest.raises(ValueError, match="a bad piece"):
        work.go_on(0.0)
    assert work.is_done
    assert work.result is None


def test_a_part_of_larger_work_takes_its_share():
    pieces = part_of((0.5, 1.0), four_pieces([]))
    assert [next(pieces) for _ in range(4)] == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert finished(pieces) == "the result"
