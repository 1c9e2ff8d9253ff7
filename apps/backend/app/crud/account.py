"""What people do with their own account: register, prove an address, set a password."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.errors import PermissionDeniedError, SpentTokenError
from app.core.permissions import Principal, Role
from app.core.security import hash_password, verify_password
from app.core.text import normalise
from app.crud import audit as crud_audit
from app.crud import user as crud_user
from app.crud.letter import ask_for_letter
from app.crud.one_time_token import owner_of_token, use_token
from app.crud.password import SETS_PASSWORD, store_password
from app.crud.user_policy import PasswordTooEasyError, refuse_easy_password
from app.db.session import origin_of
from app.models.one_time_token import TokenPurpose
from app.models.user import User
from app.schemas.audit import AuditAction
from app.schemas.auth import PasswordChange, PasswordReset, Registration
from app.schemas.letter import LetterTemplate


class RegistrationClosedError(PermissionDeniedError):
    code = "REGISTRATION_CLOSED"
    text = "Registration is closed. An admin can create an account for you."


def refuse_closed_registration() -> None:
    """Raises RegistrationClosedError."""
    if not get_settings().OPEN_REGISTRATION:
        raise RegistrationClosedError


def register(db: Session, *, registration: Registration) -> None:
    """Create an unverified user, or tell the owner of the address by letter that it was tried.

    Raises PasswordTooEasyError.
    """
    email, password = registration.email, registration.password
    username = registration.username or crud_user.username_of(email)
    refuse_easy_password(password, email=email, username=username)
    values = {
        "email": email,
        "username": username,
        "full_name": registration.full_name,
        "role": Role.USER,
        "is_verified": False,
        "token_quota": get_settings().DEFAULT_TOKEN_QUOTA,
        "hashed_password": hash_password(password),  # Before the first statement.
    }
    user = crud_user.insert_with_free_username(db, values, password=password)
    if user is None:
        _note(db, email=email, action="registration_tried")
        ask_for_letter(db, recipient=email, template=LetterTemplate.REGISTRATION_TRIED)
    else:
        event = crud_audit.creation(db, User, record_id=user.id, values=vars(user))
        _note(db, email=email, action="create", changes=event["changes"], version=user.version)
        ask_for_letter(db, recipient=email, template=LetterTemplate.VERIFY_EMAIL)


def request_verification(db: Session, *, email: str) -> None:
    """Send the letter to whom it helps, and nothing to anyone else."""
    _note(db, email=email, action="verification_requested")
    ask_for_letter(db, recipient=email, template=LetterTemplate.VERIFY_EMAIL)


def verify_email(db: Session, *, token: str) -> None:
    """Raises SpentTokenError."""
    user = use_token(db, text=token, purposes=[TokenPurpose.VERIFY_EMAIL])
    _act_as(db, user)
    user.is_verified = True
    db.flush()


def request_password_reset(db: Session, *, email: str) -> None:
    _note(db, email=email, action="password_reset_requested")
    ask_for_letter(db, recipient=email, template=LetterTemplate.RESET_PASSWORD)


def check_reset(db: Session, *, reset: PasswordReset) -> None:
    """Refuse before hashing what would be refused after it.

    Raises SpentTokenError, PasswordTooEasyError.
    """
    user = owner_of_token(db, text=reset.token, purposes=SETS_PASSWORD)
    if user is None:
        raise SpentTokenError
    refuse_easy_password(reset.password, email=user.email, username=user.username)


def reset_password(db: Session, *, token: str, hashed_password: str) -> None:
    """Whoever holds the letter has shown whose address it is. Raises SpentTokenError."""
    user = use_token(db, text=token, purposes=SETS_PASSWORD)
    _act_as(db, user)
    user.is_verified = True
    store_password(db, user=user, hashed_password=hashed_password)


def check_change(db: Session, *, change: PasswordChange, actor: Principal) -> str | None:
    """Refuse before hashing what would be refused after it, and return the stored hash.

    Raises PasswordTooEasyError.
    """
    profile = actor.profile
    refuse_easy_password(
        change.new_password,
        email=profile["email"],
        username=profile["username"],
        field="new_password",
    )
    if normalise(change.new_password) == normalise(change.current_password):
        raise PasswordTooEasyError(reason="it is the present one", field="new_password")
    return db.scalar(select(User.hashed_password).where(User.id == actor.id))


def hash_change(change: PasswordChange, *, stored: str | None) -> str:
    """Raises CurrentPasswordWrongError."""
    if not verify_password(change.current_password, stored):
        raise crud_user.CurrentPasswordWrongError
    return hash_password(change.new_password)


def change_password(
    db: Session, *, actor: Principal, stored: str | None, hashed_password: str
) -> None:
    """`stored` is the hash that the current password was compared with.

    Raises CurrentPasswordWrongError where it has changed meanwhile.
    """
    user = db.scalar(
        select(User)
        .where(User.id == actor.id, User.hashed_password == stored)
        .with_for_update(key_share=True)
    )
    if user is None:
        raise crud_user.CurrentPasswordWrongError
    store_password(db, user=user, hashed_password=hashed_password, kept_session_id=actor.session_id)


def _note(db: Session, *, email: str, action: AuditAction, **more: Any) -> None:
    """Look the owner up in the INSERT: known and unknown addresses take the same time."""
    owner = select(User.id).where(User.email == email, User.is_active, User.deleted_at.is_(None))
    owner_id = owner.scalar_subquery()  # In an INSERT, which no criterion reaches into.
    crud_audit.record(db, action=action, resource_type="user", resource_id=owner_id, **more)


def _act_as(db: Session, user: User) -> None:
    """A link says who its bearer is, as a login does."""
    origin = origin_of(db)
    origin.actor_id, origin.actor_email = user.id, user.email
