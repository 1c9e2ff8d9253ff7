"""The forms of the panels: what a person does with one record."""

from tests.panels.conftest import Api, Driver, OpenPanel


def sees_form_of(panel: Driver, title: str) -> None:
    panel.wait(f"the form of {title}", lambda: panel.value_of("title") == title)


def test_create_shows_errors_at_their_fields(panel: Driver, api: Api) -> None:
    panel.open(panel.list_path)
    panel.new_item()

    panel.type_into("description", "Brass")
    panel.save()
    errors = panel.refused("POST", "/items", 422)["errors"]
    panel.wait("the error at the title", lambda: panel.error_at("title") == errors["title"])
    panel.picture("error")
    panel.type_into("title", "Created lamp")
    panel.save()

    panel.wait("the new one in the list", lambda: "Created lamp" in panel.rows())
    assert api.titles("Created lamp") == ["Created lamp"]


def test_create_form_has_the_defaults_of_the_api(panel: Driver, api: Api) -> None:
    panel.open(panel.new_user_path)

    panel.type_into("email", "not an address")
    panel.save()
    errors = panel.refused("POST", "/users", 422)["errors"]
    panel.wait("the error at the e-mail", lambda: panel.error_at("email") == errors["email"])
    panel.type_into("email", "defaults@example.com")
    panel.save()

    panel.answered("POST", "/users", 201)
    (user,) = api.send("GET", "/users/?email=defaults@example.com")
    assert (user["is_active"], user["is_verified"], user["role"]) == (True, True, "user")
    assert user["token_quota"] is not None


def test_edit_saves(panel: Driver, api: Api) -> None:
    (item,) = api.make_items("Edited lamp", description="Brass")
    panel.open(panel.list_path)
    panel.search("Edited")
    panel.wait("found", lambda: panel.rows() == ["Edited lamp"])

    panel.open_item("Edited lamp")
    sees_form_of(panel, "Edited lamp")
    panel.type_into("title", "Edited desk lamp")
    panel.save()

    panel.wait("the change in the list", lambda: "Edited desk lamp" in panel.rows())
    changed = api.send("GET", f"/items/{item['id']}")
    assert (changed["title"], changed["description"]) == ("Edited desk lamp", "Brass")


def test_of_two_editors_the_second_is_told(open_panel: OpenPanel, api: Api) -> None:
    (item,) = api.make_items("Shared lamp", description="Brass")
    editors = [open_panel(api.server.admin_email) for _ in range(2)]
    for editor in editors:
        editor.open(editor.item_path(item["id"]))
        sees_form_of(editor, "Shared lamp")
    first, second = editors

    first.type_into("title", "Shared floor lamp")
    first.save()
    first.wait("saved", lambda: api.titles("Shared") == ["Shared floor lamp"])
    second.type_into("description", "Copper")
    second.save()
    refusal = second.refused(second.method_of_update, f"/items/{item['id']}", 412)
    second.sees(refusal["message"])
    second.picture("told")
    unharmed = api.send("GET", f"/items/{item['id']}")
    second.load_again()
    sees_form_of(second, "Shared floor lamp")
    second.type_into("description", "Copper")
    second.save()
    second.answered(second.method_of_update, f"/items/{item['id']}", 200)

    assert (unharmed["title"], unharmed["description"]) == ("Shared floor lamp", "Brass")
    both = api.send("GET", f"/items/{item['id']}")
    assert (both["title"], both["description"]) == ("Shared floor lamp", "Copper")
