"""Sign-in, renewal and sign-out of the panels, and what a role shows."""

from tests.panels.conftest import Api, Driver, OpenPanel


def test_sign_in_says_what_is_wrong_and_lets_in(open_panel: OpenPanel, api: Api) -> None:
    panel = open_panel()
    panel.open()

    panel.sign_in(api.server.admin_email, "not-the-password")
    panel.sees(panel.refused("POST", "/auth/login", 401)["message"])
    panel.picture("refused")
    panel.sign_in(api.server.admin_email, api.server.admin_password)

    panel.sees("Users")
    panel.answered("GET", "/items", 200)
    panel.picture("signed-in")


def test_ten_requests_at_once_renew_the_token_once(panel: Driver, api: Api) -> None:
    api.make_items("Renewed")
    panel.open(panel.list_path)
    panel.wait("the list", panel.rows)
    panel.forget()

    panel.evaluate(
        "() => localStorage.setItem('backdesk-session', JSON.stringify("
        "{ ...JSON.parse(localStorage.getItem('backdesk-session')), expires_at: Date.now() }))"
    )
    before = panel.page.run("localStorage.getItem('backdesk-session')")
    with panel.held("/auth/refresh") as held:
        for number in range(10):
            panel.search(f"lamp{number}")
    panel.wait("ten lists", lambda: len(panel.answers("/items")) >= 10)

    assert len(held) == 1
    assert [one.status for one in panel.answers("/auth/refresh")] == [200]
    assert {one.status for one in panel.answers("/items")} == {200}
    assert panel.page.run("localStorage.getItem('backdesk-session')") != before


def test_sign_out_ends_the_session(panel: Driver) -> None:
    panel.open(panel.list_path)
    panel.wait("the menu", panel.menu)

    panel.sign_out()

    panel.answered("POST", "/auth/logout", 204)
    panel.sees_sign_in()
    panel.open(panel.list_path)
    panel.sees_sign_in()
    assert panel.page.run("localStorage.getItem('backdesk-session')") is None


def test_session_that_was_ended_elsewhere_leads_to_sign_in(open_panel: OpenPanel, api: Api) -> None:
    bob = api.make_user("bob@example.com")
    panel = open_panel("bob@example.com")
    panel.open(panel.list_path)
    panel.sees("bob")

    api.send("DELETE", f"/users/{bob['id']}/sessions")
    panel.forgive(401)
    panel.open(panel.list_path)

    panel.sees_sign_in()


def test_panel_shows_what_the_role_permits(open_panel: OpenPanel, api: Api) -> None:
    api.make_user("auditor@example.com", role="auditor")
    api.make_user("carl@example.com")
    carl = open_panel("carl@example.com")
    auditor = open_panel("auditor@example.com")

    for panel in (auditor, carl):
        panel.open(panel.list_path)

    auditor.wait("both lists", lambda: auditor.menu() == ["Items", "Users"])
    carl.wait("items alone", lambda: carl.menu() == ["Items"])
    auditor.wait("no button to create", lambda: not auditor.may_create())
    carl.wait("a button to create", carl.may_create)


def test_password_that_an_admin_has_set_leads_to_its_change(
    open_panel: OpenPanel, api: Api
) -> None:
    api.make_user("dora@example.com", must_change_password=True)
    panel = open_panel("dora@example.com")
    panel.forgive(403)
    panel.open(panel.list_path)

    panel.arrives_at(f"{api.server.url}/account/change")


def test_sign_in_page_leads_to_a_forgotten_password(open_panel: OpenPanel, api: Api) -> None:
    panel = open_panel()
    panel.open()

    panel.click("a", "Forgot your password?")

    panel.arrives_at(f"{api.server.url}/account/forgot")
