"""Generates `nightjar.v1` (messages, services and their type stubs) from `proto/` into the SDK's folder.

Run as `make proto`; a test runs `generate` into a temporary folder and compares, so a stale stub fails.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SDK = REPOSITORY / "clients" / "python"


def generate(out: Path) -> None:
    """Writes the generated package below `out`; raises RuntimeError when protoc refuses a file."""
    bin_folder = Path(sys.executable).parent
    protoc(
        f"--plugin=protoc-gen-mypy={bin_folder / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_folder / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    )
    (out / "nightjar" / "v1" / "__init__.py").write_text('"""Generated from proto/nightjar/v1; see `make proto`."""\n')


def protoc(*arguments: str) -> None:
    """Runs protoc with these arguments on every contract; raises RuntimeError when it refuses a file."""
    from grpc_tools import protoc  # heavy, and only developers have it

    files = sorted(str(path.relative_to(REPOSITORY / "proto")) for path in (REPOSITORY / "proto").rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    paths = f"--proto_path={REPOSITORY / 'proto'}", f"--proto_path={well_known}"
    status = protoc.main(["protoc", *paths, *arguments, *files])
    if status != 0:
        raise RuntimeError(f"protoc exited with {status}")


if __name__ == "__main__":
    generate(SDK)
