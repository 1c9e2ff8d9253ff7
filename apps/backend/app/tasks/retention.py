from app.crud import audit as crud_audit
from app.crud.job import Outcome
from app.tasks.batches import delete_in_batches


def apply_retention() -> Outcome:
    """Delete audit events older than AUDIT_RETENTION_DAYS."""
    return delete_in_batches({"audit events": crud_audit.delete_old_events})
