import os
import pickle
import stat
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling import sealed


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_what_was_sealed_comes_back(tmp_path: Path) -> None:
    seal = sealed.write(tmp_path, tmp_path / "m", {"a": 1})
    assert sealed.read(tmp_path, tmp_path / "m", seal) == {"a": 1}


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = sealed.write(tmp_path, tmp_path / "m", 1)
    assert sealed.write(tmp_path, tmp_path / "m", 1) == first
    assert stat.S_IMODE((tmp_path / sealed.KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("seal", ["", "0" * 64, "no seal"])
def test_a_pickle_without_the_seal_is_not_even_opened(tmp_path: Path, seal: str) -> None:
    sealed.write(tmp_path, tmp_path / "m", 1)
    (tmp_path / "m").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(ToolFailure, match="not opened"):
        sealed.read(tmp_path, tmp_path / "m", seal)
    assert not (tmp_path / "trace").exists()


def test_the_seal_of_another_installation_is_none_here(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    seal = sealed.write(there, tmp_path / "m", 1)
    with pytest.raises(ToolFailure, match="did not seal"):
        sealed.read(here, tmp_path / "m", seal)


def test_a_changed_byte_breaks_the_seal(tmp_path: Path) -> None:
    seal = sealed.write(tmp_path, tmp_path / "m", "text")
    content = bytearray((tmp_path / "m").read_bytes())
    content[-3] ^= 1
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ToolFailure, match="did not seal"):
        sealed.read(tmp_path, tmp_path / "m", seal)


@pytest.mark.parametrize(("mode", "content"), [(0o644, b"k" * 32), (0o600, b""), (0o600, b"short")])
def test_a_key_that_others_read_or_that_is_damaged_seals_nothing(tmp_path: Path, mode: int, content: bytes) -> None:
    (tmp_path / sealed.KEY_FILE).write_bytes(content)
    (tmp_path / sealed.KEY_FILE).chmod(mode)
    with pytest.raises(ToolFailure, match="chmod 600"):
        sealed.write(tmp_path, tmp_path / "m", 1)
