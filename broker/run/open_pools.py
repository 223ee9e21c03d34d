"""Which pools were opened and not ended since: kept as empty files, for whoever finds their broker gone."""

from __future__ import annotations

from pathlib import Path


class OpenPools:
    """The pools of one state folder that may run something, and cost money, whether a broker lives or not."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "open"

    def add(self, name: str) -> bool:
        """Notes that it is opened; whether that was not noted before. Raises OSError."""
        if (self._folder / name).exists():
            return False
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / name).touch()
        return True

    def discard(self, name: str) -> None:
        """Notes that nothing of it is left. Raises OSError."""
        (self._folder / name).unlink(missing_ok=True)

    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(sorted(path.name for path in self._folder.glob("*")))
