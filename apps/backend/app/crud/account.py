"""What people do with their own account: register, prove an address, set a password."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.config import get_settings
from app.core.errors import PermissionDeniedError, SpentTokenError
from app.core.permissions import Principal, Role
from app.core.security import hash_password, verify_password
from app.core.text import normalise
from app.crud import audit as crud_audit
from app.crud import user as crud_user
from app.crud.letter import send_verification, write_letter
from app.crud.one_time_token import issue_token, owner_of_token, use_token
from app.crud.password import SETS_PASSWORD, store_password
from app.crud.user_policy import PasswordTooEasyError, refuse_easy_password
from app.db.session import origin_of
from app.models.one_time_token import TokenPurpose
from app.models.user import User
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
    try:
        with db.begin_nested():
            user = crud_user.insert_with_free_username(db, values, password=password)
    except crud_user.EmailTakenError:
        _tell_owner(db, email=email)
    else:
        send_verification(db, user=user)


def request_verification(db: Session, *, email: str) -> None:
    """Send the letter to whom it helps, and nothing to anyone else."""
    user = _asked_for(db, email=email, action="verification_requested")
    if user is not None and not user.is_verified:
        send_verification(db, user=user)


def verify_email(db: Session, *, token: str) -> None:
    """Raises SpentTokenError."""
    user = use_token(db, text=token, purposes=[TokenPurpose.VERIFY_EMAIL])
    _act_as(db, user)
    user.is_verified = True
    db.flush()


def request_password_reset(db: Session, *, email: str) -> None:
    user = _asked_for(db, email=email, action="password_reset_requested")
    if user is not None:
        token = issue_token(db, user=user, purpose=TokenPurpose.RESET_PASSWORD)
        write_letter(db, user=user, template=LetterTemplate.RESET_PASSWORD, token=token)


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


def _asked_for(db: Session, *, email: str, action: str) -> User | None:
    """Find the active user whose address a stranger gave. The event is written for unknown ones
    too: time would tell whether a transaction had anything to commit.
    """
    statement = select(User).where(User.email == email, User.is_active)
    user = db.scalar(statement.with_for_update(key_share=True))  # Of two links one stays good.
    known_id = user.id if user is not None else None
    crud_audit.record(db, action=action, resource_type="user", resource_id=known_id)
    return user


def _tell_owner(db: Session, *, email: str) -> None:
    owner = _asked_for(db, email=email, action="registration_tried")
    if owner is not None:
        write_letter(db, user=owner, template=LetterTemplate.REGISTRATION_TRIED)


def _act_as(db: Session, user: User) -> None:
    """A link says who its bearer is, as a login does."""
    origin = origin_of(db)
    origin.actor_id, origin.actor_email = user.id, user.email
