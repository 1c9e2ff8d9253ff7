"""What was deleted comes back, or goes for good."""

from collections.abc import Mapping

from app.core.errors import ConflictError
from app.models.mixins import SoftDeleteMixin


class NotDeletedError(ConflictError):
    code = "NOT_DELETED"
    text = "This is not in the trash: there is nothing to restore."


class HasDependentsError(ConflictError):
    code = "HAS_DEPENDENTS"
    text = "This cannot be purged while something hangs on it: {listed}."

    def __init__(self, dependents: Mapping[str, object]) -> None:
        counts = (f"{name.replace('_', ' ')} {count}" for name, count in dependents.items())
        super().__init__(listed=", ".join(counts))


def take_out(record: SoftDeleteMixin) -> None:
    """Raises NotDeletedError."""
    if record.deleted_at is None:
        raise NotDeletedError
    record.deleted_at = None
