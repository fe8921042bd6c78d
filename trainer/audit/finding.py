"""One thing an audit has to say, in words, and how bad it is."""

import dataclasses

UNTRUE = "untrue"  # published numbers would be better than the truth
DOUBTFUL = "doubtful"  # they may be; somebody who knows the data has to look
NOTE = "note"  # worth knowing
_ORDER = (UNTRUE, DOUBTFUL, NOTE)


@dataclasses.dataclass(frozen=True)
class Finding:
    """``code`` is for machines and stays; ``message`` says what was found and what to do."""

    severity: str
    code: str
    message: str

    @property
    def order(self) -> int:
        """Worst first."""
        return _ORDER.index(self.severity)

    def describe(self) -> dict[str, str]:
        """As JSON."""
        return dataclasses.asdict(self)
