import pytest

from app.core.errors import NotAuthenticatedError
from app.core.security import (
    AccessClaims,
    InvalidTokenError,
    create_access_token,
    hash_password,
    is_common_password,
    read_access_token,
    sign,
    verify_password,
)
from tests.settings import changed_settings

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


@pytest.mark.parametrize("password", [PASSWORD, "", " ", "pässwörd 💡", "x" * 200])
def test_verify_password_takes_what_was_hashed(password: str) -> None:
    hashed = hash_password(password)

    assert verify_password(password, hashed)


@pytest.mark.parametrize("password", ["", PASSWORD.upper(), f"{PASSWORD} ", f" {PASSWORD}"])
def test_verify_password_takes_nothing_else(hashed: str, password: str) -> None:
    assert not verify_password(password, hashed)


def test_verify_password_reads_beyond_72_bytes() -> None:
    hashed = hash_password("x" * 72 + "one")

    assert verify_password("x" * 72 + "one", hashed)
    assert not verify_password("x" * 72 + "two", hashed)
    assert not verify_password("x" * 72, hashed)


def test_hash_password_salts(hashed: str) -> None:
    again = hash_password(PASSWORD)

    assert again != hashed


def test_hash_password_uses_argon2id_with_19_mib_and_2_passes(hashed: str) -> None:
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in hashed


@pytest.mark.parametrize(
    "hashed",
    [
        None,
        "",
        "!",
        "not-a-hash",
        PASSWORD,
        "$2b$12$" + "a" * 53,
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
        "$argon2id$v=19$m=x,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g",
        "$argon2id$v=19$m=19456,t=2,p=1$%%%$%%%",
        "$argon2id$v=99$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g",
        "\ud800",
        "ü",
    ],
)
def test_verify_password_is_false_for_a_hash_that_cannot_be_used(hashed: str | None) -> None:
    assert not verify_password(PASSWORD, hashed)


@pytest.mark.parametrize("password", ["x" * 5000, "\ud800", "a\0b"])
def test_verify_password_is_false_for_a_password_that_cannot_be_hashed(
    hashed: str, password: str
) -> None:
    assert not verify_password(password, hashed)
    assert not verify_password(password, None)


@pytest.mark.parametrize("password", ["password", "12345678", "QWERTY", "Iloveyou"])
def test_common_passwords_are_known_without_regard_to_case(password: str) -> None:
    assert is_common_password(password)


@pytest.mark.parametrize("password", [PASSWORD, "wallpaper-on-tuesday", ""])
def test_other_passwords_are_not_common(password: str) -> None:
    assert not is_common_password(password)


# --- Signatures.


def test_sign_is_the_same_for_the_same() -> None:
    signatures = {sign(b"data", purpose="test") for _ in range(2)}

    assert len(signatures) == 1
    assert len(signatures.pop()) == 16


@pytest.mark.parametrize(
    ("data", "purpose"),
    [(b"data.", "test"), (b"", "test"), (b"data", "another"), (b"tdata", "tes")],
)
def test_sign_differs_by_data_and_purpose(data: bytes, purpose: str) -> None:
    assert sign(data, purpose=purpose) != sign(b"data", purpose="test")


def test_sign_differs_by_key() -> None:
    ours = sign(b"data", purpose="test")

    with changed_settings(SECRET_KEY="another-key-that-is-long-enough-to-sign"):
        theirs = sign(b"data", purpose="test")

    assert theirs != ours


# --- Access tokens.


def test_access_token_names_its_user() -> None:
    token = create_access_token(user_id=7, session_id=8)

    assert read_access_token(token.text) == AccessClaims(user_id=7, session_id=8)
    assert token.expires_in_seconds == 15 * 60


def test_access_token_is_new_every_time() -> None:
    tokens = {create_access_token(user_id=7, session_id=8).text for _ in range(2)}

    assert len(tokens) == 2


def test_access_token_of_another_key_is_refused() -> None:
    with changed_settings(SECRET_KEY="another-key-that-is-long-enough-to-sign"):
        foreign = create_access_token(user_id=7, session_id=8).text

    with pytest.raises(InvalidTokenError):
        read_access_token(foreign)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "ü.ü.ü", "\ud800", "\0", "x" * 10**6])
def test_access_token_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        read_access_token(text)
