import secrets
from getpass import getpass
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.api.wording import text_of
from app.cli.console import console, fail, is_terminal, settings_faults
from app.core.config import get_settings
from app.core.permissions import Role
from app.core.security import hash_password
from app.crud import auth as crud_auth
from app.crud import user as crud_user
from app.crud.password import store_password
from app.crud.user_policy import PasswordTooEasyError, refuse_easy_password
from app.db.dialect import take_turns
from app.db.session import read_only, unit_of_work
from app.models import User
from app.schemas.user import UserCreate, UserUpdate

GENERATED_EMAIL = "admin@example.com"


def create_admin(
    if_missing: Annotated[
        bool,
        typer.Option(
            "--if-missing",
            help="Do nothing where an active admin exists; without a terminal, make up a password.",
        ),
    ] = False,
) -> None:
    """Create an admin from FIRST_ADMIN_EMAIL and FIRST_ADMIN_PASSWORD, or ask."""
    if if_missing:
        ensure_admin()
        return
    settings = get_settings()
    if settings.FIRST_ADMIN_EMAIL and settings.FIRST_ADMIN_PASSWORD:
        _create(settings.FIRST_ADMIN_EMAIL, settings.FIRST_ADMIN_PASSWORD.get_secret_value())
    elif is_terminal():
        email = _ask_email()
        _create(email, _ask_password(email))
    else:
        fail("set FIRST_ADMIN_EMAIL and FIRST_ADMIN_PASSWORD, or run this at a terminal.", code=2)


def ensure_admin() -> None:
    """Create the first admin, where there is none yet."""
    with read_only() as db:
        if crud_user.has_active_admin(db):
            return
    settings = get_settings()
    email, password = settings.FIRST_ADMIN_EMAIL, ""
    if settings.FIRST_ADMIN_PASSWORD:
        password = settings.FIRST_ADMIN_PASSWORD.get_secret_value()
    elif is_terminal():
        console.print("There is no admin yet. Create the first one.")
        email = email or _ask_email(default=GENERATED_EMAIL)
        password = _ask_password(email, may_be_empty=True)
    _create(email or GENERATED_EMAIL, password, if_missing=True)


def reset_password(email: Annotated[str, typer.Argument(help="Whose password to set.")]) -> None:
    """Set a user's password: asked at a terminal, else made up and shown once."""
    with read_only() as db:
        user = find_user(db, email)
    password = _ask_password(user.email, user.username, may_be_empty=True) if is_terminal() else ""
    chosen = password or secrets.token_urlsafe(12)
    hashed_password = hash_password(chosen)
    with unit_of_work() as db:
        store_password(db, user=find_user(db, email), hashed_password=hashed_password)
    _show(email, None if password else chosen, "The password is set.")


def end_sessions(
    email: Annotated[str | None, typer.Argument(help="Whose; all people's when left out.")] = None,
) -> None:
    """Sign somebody, or everybody, out on every device: after a leak, say."""
    if email is None and is_terminal():
        typer.confirm("This signs everybody out. Go on?", abort=True)
    with unit_of_work() as db:
        if email is None:
            count = crud_auth.end_sessions_of_all(db)
        else:
            count = crud_auth.end_sessions_of(db, user_id=find_user(db, email).id)
    console.print(f"{count} sessions are ended.")


def find_user(db: Session, email: str) -> User:
    user = crud_user.get_user_by_email(db, email=crud_auth.stored_form(email))
    if user is None:
        fail(f"there is no user with the e-mail {email}.")
    return user


def _create(email: str, password: str, *, if_missing: bool = False) -> None:
    chosen = password or secrets.token_urlsafe(12)
    try:
        user_in = UserCreate(email=email, password=chosen, role=Role.ADMIN)
        hashed_password = hash_password(chosen)
        with unit_of_work() as db:
            take_turns(db, lock=crud_user.ADMINS_LOCK)
            if if_missing and crud_user.has_active_admin(db):
                return  # Another first start was faster.
            user = crud_user.create_user(db, user_in=user_in, hashed_password=hashed_password)
    except ValidationError as error:
        fail("; ".join(settings_faults(error)))
    _show(user.email, None if password else chosen, "The admin is created.")


def _ask_email(default: str | None = None) -> str:
    """Ask until it is an e-mail address."""

    def read(text: str) -> str:
        try:
            return UserCreate(email=text).email
        except ValidationError as error:
            raise typer.BadParameter(text_of(error.errors()[0])) from error

    return str(typer.prompt("E-mail", default=default, value_proc=read))


def _ask_password(email: str, username: str | None = None, *, may_be_empty: bool = False) -> str:
    """Ask until it is a good one, given twice. An empty one, where allowed, is not asked again."""
    hint = " (empty: make one up)" if may_be_empty else ""
    while True:
        password = getpass(f"Password{hint}: ")
        if not password and may_be_empty:
            return ""
        fault = _fault_of(password, crud_auth.stored_form(email), username)
        if fault is None and getpass("The same again: ") == password:
            return password
        console.print(fault or "The two are not the same.", markup=False)


def _fault_of(password: str, email: str, username: str | None) -> str | None:
    try:
        UserUpdate(password=password)
        username = username or crud_user.username_of(email)
        refuse_easy_password(password, email=email, username=username)
    except ValidationError as error:
        return text_of(error.errors()[0])
    except PasswordTooEasyError as error:
        return error.detail
    return None


def _show(email: str, generated: str | None, text: str) -> None:
    console.print(text)
    console.print(f"  E-mail    {email}", soft_wrap=True, markup=False)
    if generated:
        console.print(f"  Password  {generated}   (shown only now)", soft_wrap=True, markup=False)
