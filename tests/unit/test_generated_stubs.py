"""The generated code in the repository is what proto/ says."""

from pathlib import Path

from deploy.generate_stubs import SDK, generate


def test_the_generated_code_is_not_stale(tmp_path: Path) -> None:
    """Byte for byte, no file missing and none left over; `make proto` mends it."""
    generate(tmp_path)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    package = SDK / "nightjar" / "v1"
    kept = {path.relative_to(SDK): path.read_bytes() for path in package.glob("*.py*")}
    assert sorted(fresh) == sorted(kept)
    stale = [str(path) for path, content in fresh.items() if kept[path] != content]
    assert not stale, "run `make proto`"
