import pytest

from app.core.errors import NotFoundError, PermissionDeniedError, UnavailableError
from app.crud.refusals import BulkRefusedError, Refusals
from app.crud.user import EmailTakenError, UsernameTakenError
from app.crud.user_policy import FieldsNotPermittedError


def test_no_refusal_raises_nothing() -> None:
    refusals = Refusals(under="items")

    with refusals.of_row(0):
        pass

    assert 0 not in refusals
    refusals.raise_any()


def test_rows_refused_for_one_reason_are_refused_as_one_alone() -> None:
    refusals = Refusals(under="items")
    for index in (7, 3):
        with refusals.of_row(index):
            raise EmailTakenError

    with pytest.raises(EmailTakenError) as caught:
        refusals.raise_any()

    assert 3 in refusals
    text = "This e-mail is already registered."
    assert caught.value.fields == {"items.3.email": text, "items.7.email": text}
    assert list(caught.value.fields) == ["items.3.email", "items.7.email"]
    assert caught.value.detail == f"2 rows are refused, and nothing was changed. {text}"


def test_rows_refused_for_several_reasons_have_a_code_of_their_own() -> None:
    refusals = Refusals(under="items")
    refusals.add(0, EmailTakenError())
    refusals.add(0, UsernameTakenError())
    refusals.add(1, PermissionDeniedError())

    with pytest.raises(BulkRefusedError) as caught:
        refusals.raise_any()

    assert caught.value.fields == {
        "items.0.email": "This e-mail is already registered.",
        "items.0.username": "This user name is already taken.",
        "items.1": "Your role does not permit this.",
    }
    assert caught.value.detail == "2 rows are refused, and nothing was changed."


def test_one_reason_in_several_words_is_told_row_by_row() -> None:
    refusals = Refusals(under="ids")
    refusals.add(0, FieldsNotPermittedError(["role"]))
    refusals.add(1, FieldsNotPermittedError(["department"]))

    with pytest.raises(FieldsNotPermittedError) as caught:
        refusals.raise_any()

    assert set(caught.value.fields) == {"ids.0.role", "ids.1.department"}
    assert caught.value.detail == "2 rows are refused, and nothing was changed."


def test_one_refused_row_is_told_with_its_reason() -> None:
    refusals = Refusals(under="ids")
    refusals.add(4, NotFoundError())

    with pytest.raises(NotFoundError) as caught:
        refusals.raise_any()

    assert caught.value.fields == {"ids.4": "There is nothing here."}
    assert caught.value.detail == (
        "1 row is refused, and nothing was changed. There is nothing here."
    )


def test_what_blames_no_row_is_not_collected() -> None:
    refusals = Refusals(under="items")

    with pytest.raises(UnavailableError), refusals.of_row(0):
        raise UnavailableError
