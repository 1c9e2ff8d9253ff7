from app.crud import idempotency_key as crud_idempotency_key
from app.crud import letter as crud_letter
from app.crud import one_time_token as crud_one_time_token
from app.crud import session as crud_session
from app.crud.job import Outcome
from app.tasks.batches import delete_in_batches


def clean_up() -> Outcome:
    """Delete sessions, one-time tokens and idempotency keys whose time is up, and letters sent long
    ago.
    """
    return delete_in_batches(
        {
            "refresh tokens": crud_session.delete_expired_refresh_tokens,
            "sessions": crud_session.delete_expired_sessions,
            "one-time tokens": crud_one_time_token.delete_expired_tokens,
            "idempotency keys": crud_idempotency_key.delete_old_keys,
            "letters": crud_letter.delete_old_letters,
        }
    )
