"""``Finding``: one problem of the data, in words, and how severe it is. Next: ``audit.py`` collects the findings."""

import dataclasses
import enum


class Severity(str, enum.Enum):
    """How a finding affects published numbers, worst first."""

    ERROR = "error"  # published numbers would be better than the truth
    WARNING = "warning"  # they may be; a person who knows the data has to decide
    INFO = "info"  # no effect on them

    __str__ = str.__str__  # in text the value, on every version of Python


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclasses.dataclass(frozen=True)
class Finding:
    """``code`` is stable and read by programs; ``message`` describes the problem and its remedy."""

    severity: Severity
    code: str
    message: str

    @property
    def rank(self) -> int:
        """Sort key: 0 for the most severe."""
        return _RANKS[self.severity]

    def to_dict(self) -> dict[str, str]:
        """Return the finding as JSON."""
        return {"severity": self.severity.value, "code": self.code, "message": self.message}
