from typing import Final

from fastapi import Depends, Response

from app.api.credentials import (
    HashedChange,
    HashedReset,
    limited_password,
    require_open_registration,
)
from app.api.deps import CurrentUser, DbSession, just_signed_in, public
from app.api.limits import (
    ACCOUNT_ADDRESS,
    limited_by_address,
    limited_by_recipient,
    limited_by_registered,
)
from app.api.one_visit import HashingRoute
from app.api.problems import problems
from app.api.routing import AUTH_BODY_BYTES, Router
from app.crud import account as crud_account
from app.schemas.auth import EmailForm, Message, PasswordReset, Registration, TokenForm

router = Router(tags=["accounts"], max_body_size=AUTH_BODY_BYTES)
hashing = Router(route_class=HashingRoute)

# The same whether or not an address is known: nobody learns here who has an account.
LETTER_ON_ITS_WAY: Final = Message(
    message="If this address has an account, an e-mail is on its way to it."
)


@hashing.post(
    "/auth/register",
    status_code=201,
    response_model=Message,
    responses=problems(403),
    dependencies=[
        public,
        limited_by_address(ACCOUNT_ADDRESS),
        Depends(require_open_registration),
        limited_by_registered,
    ],
)
def register(db: DbSession, registration: Registration) -> Message:
    """Create an account of your own, where registration is open, and verify its address by letter.

    The answer is the same when the address is taken; its owner is told by letter.
    """
    crud_account.register(db, registration=registration)
    return Message(message="An e-mail is on its way to this address. Open the link in it.")


@router.post(
    "/auth/email/verify",
    status_code=202,
    response_model=Message,
    dependencies=[public, limited_by_address(ACCOUNT_ADDRESS), limited_by_recipient],
)
def request_verification(db: DbSession, form: EmailForm) -> Message:
    """Have the letter sent again that verifies an e-mail address."""
    crud_account.request_verification(db, email=form.email)
    return LETTER_ON_ITS_WAY


@router.post(
    "/auth/email/verify/confirm",
    response_model=Message,
    responses=problems(400),
    dependencies=[public, limited_by_address(ACCOUNT_ADDRESS)],
)
def confirm_verification(db: DbSession, form: TokenForm) -> Message:
    """Verify the e-mail address to which the token of the link was sent."""
    crud_account.verify_email(db, token=form.token)
    return Message(message="The e-mail address is confirmed.")


@router.post(
    "/auth/password/forgot",
    status_code=202,
    response_model=Message,
    dependencies=[public, limited_by_address(ACCOUNT_ADDRESS), limited_by_recipient],
)
def request_password_reset(db: DbSession, form: EmailForm) -> Message:
    """Have a letter sent with a link that sets another password, good for an hour."""
    crud_account.request_password_reset(db, email=form.email)
    return LETTER_ON_ITS_WAY


@hashing.post(
    "/auth/password/reset",
    response_model=Message,
    responses=problems(400),
    dependencies=[public, limited_by_address(ACCOUNT_ADDRESS)],
)
def reset_password(hashed_password: HashedReset, db: DbSession, reset: PasswordReset) -> Message:
    """Set a password by the token of a letter: a reset, or an invitation. It ends every session."""
    crud_account.reset_password(db, token=reset.token, hashed_password=hashed_password)
    return Message(message="The password is set. Sign in with it.")


@hashing.post(
    "/users/me/password", status_code=204, dependencies=[just_signed_in, limited_password]
)
def change_my_password(checked: HashedChange, db: DbSession, actor: CurrentUser) -> Response:
    """Change your own password. It ends your other sessions."""
    crud_account.change_password(
        db, actor=actor, stored=checked.stored, hashed_password=checked.new_hash
    )
    return Response(status_code=204)


router.include_router(hashing)
