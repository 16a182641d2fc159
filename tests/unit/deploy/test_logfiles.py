"""The log files of the parts."""

from pathlib import Path

from deploy.embedded.logfiles import LogFollower, last_lines, open_for_append, trim


def test_a_log_stays_within_its_bound_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "part.log"
    with open_for_append(path) as writer:
        writer.write(b"x" * 100)
        writer.flush()
        assert not trim(path, max_bytes=100)
        assert trim(path, max_bytes=99)
        writer.write(b"after\n")
        writer.flush()
    assert path.read_bytes() == b"after\n"
    assert path.with_name("part.log.1").stat().st_size == 100


def test_the_last_lines_of_a_log_without_any_are_none(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log") == []


def test_the_last_lines_are_the_last(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert last_lines(path, 2) == ["line 9998", "line 9999"]


def test_a_follower_shows_whole_new_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("of an earlier run\n")
    follower = LogFollower()
    follower.follow("part", path)
    with path.open("a") as writer:
        writer.write("one\ntw")
        writer.flush()
        assert list(follower.new_lines()) == [("part", "one")]
        writer.write("o\n")
    assert list(follower.new_lines()) == [("part", "two")]
    assert list(follower.new_lines()) == []


def test_a_follower_goes_on_after_the_log_was_emptied(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("a long line of an earlier time\n")
    follower = LogFollower()
    follower.follow("part", path)
    path.write_text("new\n")
    assert list(follower.new_lines()) == [("part", "new")]
