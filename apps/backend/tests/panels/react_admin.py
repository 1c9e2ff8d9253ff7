"""How a person uses the react-admin panel."""

from dataclasses import dataclass

from tests.panels.browsing import Panel


@dataclass
class ReactAdmin(Panel):
    source = "connect-react-admin.md"
    list_path = "/#/items"
    new_user_path = "/#/users/create"

    title_header = "title"
    method_of_update = "PUT"

    def item_path(self, item_id: int) -> str:
        return f"/#/items/{item_id}"

    def sign_in(self, email: str, password: str) -> None:
        self.fill("[name=username]", email)
        self.fill("[name=password]", password)
        self.click("button", "SIGN IN")

    def sees_sign_in(self) -> None:
        self.sees_at("button", "SIGN IN")

    def sign_out(self) -> None:
        self.click("[aria-label=Profile]")
        self.click("[role=menuitem]", "Logout")

    def headers(self) -> list[str]:
        fields: list[str] = self.page.run(
            "[...document.querySelectorAll('[data-field]')].map((one) => one.dataset.field)"
        )
        return fields

    def header(self, name: str) -> tuple[str, None]:
        return f"[data-field={name}]", None

    def rows(self) -> list[str]:
        return self.texts("td.column-title")

    def owners(self) -> list[str]:
        return self.texts("td.column-owner_id")

    def next_page(self) -> None:
        self.click("[aria-label='Go to next page']")

    def search(self, text: str) -> None:
        self.fill("[name=q]", text)
        self.sees_in_address(text)

    def filter_status(self, status: str) -> None:
        self._add_filter("Status")
        self.click("form [role=combobox]")
        self.click("[role=option]", status)
        self.sees_in_address(status)

    def filter_created(self, since: str, until: str) -> None:
        for label, name, value in (
            ("Created from", "created_at_gte", since),
            ("Created to", "created_at_lte", until),
            ("Changed since", "updated_at_gte", f"{since}T00:00"),
        ):
            if not self.page.run(f"!!document.querySelector('[name={name}]')"):
                self._add_filter(label)
            self.set_date(f"[name={name}]", value)
            self.sees_in_address(f"{name}%22%3A%22")  # Filters follow after a pause.

    def _add_filter(self, label: str) -> None:
        self.click("button", "ADD FILTER")
        self.click("[role^=menuitem]", label)

    def open_item(self, title: str) -> None:
        self.click("td.column-title", title)

    def new_item(self) -> None:
        self.click("a", "CREATE")

    def type_into(self, name: str, text: str) -> None:
        self.fill(f"[name={name}]", text)

    def value_of(self, name: str) -> str:
        return str(self.page.run(f"document.querySelector('[name={name}]')?.value"))

    def error_at(self, name: str) -> str:
        return str(
            self.page.run(
                f"document.querySelector('[name={name}]').closest('.ra-input')"
                ".querySelector('p.Mui-error')?.innerText"
            )
        )

    def save(self) -> None:
        self.click("button", "SAVE")

    def load_again(self) -> None:
        self.click("main button", "REFRESH")

    def delete_item(self, title: str) -> None:
        self.open_item(title)
        self.click("button", "DELETE")

    def undo(self) -> None:
        self.click("button", "UNDO")

    def choose(self, *titles: str) -> None:
        for title in titles:
            row = self.rows().index(title) + 1
            self.click(f"tbody tr:nth-child({row}) input[type=checkbox]")

    def chosen(self) -> int:
        return int(self.page.run("document.querySelectorAll('tbody input:checked').length"))

    def archive_chosen(self) -> None:
        self.click("button", "ARCHIVE")
        self.click("button", "CONFIRM")

    def delete_chosen(self) -> None:
        self.click("button", "DELETE")

    def export(self) -> None:
        self.click("button", "EXPORT")

    def menu(self) -> list[str]:
        return self.texts("[role=menuitem]")

    def may_create(self) -> bool:
        return self.texts("main a[href$=create]") != []
