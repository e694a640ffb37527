from escadm.lab.watch import Answer, first_answer, longest_gap, read

LINES = """\
1.000000 1.001000 ok node-a
1.010000 1.011000 ok node-a
1.030000 1.031000 refused -
1.020000 1.520000 silence -
1.600000 1.601000 refused -
2.000000 2.001000 ok node-b
2.010000 2.011000 ok node-b
2.020000 2.0"""


def test_a_line_that_is_not_complete_is_left_out() -> None:
    answers = read(LINES.splitlines(keepends=True))
    assert len(answers) == 7
    assert answers[0] == Answer(1.0, 1.001, "ok", "node-a")
    assert answers[3] == Answer(1.02, 1.52, "silence", None)


def test_the_longest_gap_of_the_service_and_of_the_host() -> None:
    answers = read(LINES.splitlines(keepends=True))
    gap = longest_gap(answers)
    assert gap is not None
    assert (gap.start, gap.end) == (1.011, 2.001)
    presence = longest_gap(answers, presence=True)
    assert presence is not None
    assert (presence.start, presence.end) == (1.031, 1.601)


def test_a_gap_that_ended_before_the_event_does_not_count() -> None:
    gap = longest_gap(read(LINES.splitlines(keepends=True)), since=2.005)
    assert gap is not None
    assert gap.start == 2.001


def test_no_gap_without_two_answers() -> None:
    assert longest_gap([]) is None


def test_the_first_answer_of_a_node() -> None:
    answers = read(LINES.splitlines(keepends=True))
    found = first_answer(answers, "node-b", since=1.5)
    assert found is not None
    assert found.at == 2.001
    assert first_answer(answers, "node-a", since=1.5) is None
