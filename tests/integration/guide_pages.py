"""The README and the guide's pages as a reader meets them: fenced blocks, copied one after the other into a shell."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
GUIDE: Final = ROOT / "docs" / "guide"
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(language, text) for language, text in FENCE.findall(page)]


@dataclass(frozen=True)
class Reader:
    """Someone who copies each block into a shell or a file, on a machine with other ports than the page's."""

    environment: Mapping[str, str]
    ports: Mapping[str, str]
    folder: Path

    def run(self, block: Block) -> str:
        text = block.text
        for written, ours in self.ports.items():
            text = text.replace(written, ours)
        commands = {"sh": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}
        done = subprocess.run(
            commands[block.language],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout
