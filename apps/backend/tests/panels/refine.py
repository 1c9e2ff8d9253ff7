"""How a person uses the refine panel."""

from dataclasses import dataclass

from tests.panels.browsing import Panel


@dataclass
class Refine(Panel):
    source = "connect-refine.md"
    list_path = "/items"
    new_user_path = "/users/create"
    title_header = "Title"
    method_of_update = "PATCH"

    def item_path(self, item_id: int) -> str:
        return f"/items/edit/{item_id}"

    def sign_in(self, email: str, password: str) -> None:
        self.fill("#email", email)
        self.fill("#password", password)
        self.click("button", "Sign in")

    def sees_sign_in(self) -> None:
        self.sees_at("button", "Sign in")

    def sign_out(self) -> None:
        self.click("[role=menuitem]", "Logout")

    def headers(self) -> list[str]:
        return self.texts("th.ant-table-column-has-sorters")

    def header(self, name: str) -> tuple[str, str]:
        return "th.ant-table-column-has-sorters", name

    def rows(self) -> list[str]:
        return self._column("Title")

    def owners(self) -> list[str]:
        return self._column("Owner")

    def _column(self, header: str) -> list[str]:
        script = """
        (header) => {
          const headers = [...document.querySelectorAll("thead th")];
          const place = headers.findIndex((one) => one.innerText.trim() === header);
          return [...document.querySelectorAll("tbody tr.ant-table-row")].map(
            (row) => row.children[place]?.innerText.trim());
        }
        """
        column: list[str] = self.evaluate(script, header)
        return column

    def next_page(self) -> None:
        self.click(".ant-pagination-next button")

    def search(self, text: str) -> None:
        self.fill("#q", text)
        self.press("Enter")
        self.sees_in_address(text)

    def filter_status(self, status: str) -> None:
        self.click("#status")
        self.click(".ant-select-item-option", status)

    def filter_created(self, since: str, until: str) -> None:
        for place, value in ((1, since), (3, until)):
            self.fill(f".ant-picker-range > div:nth-child({place}) input", value)
            self.press("Enter")

    def open_item(self, title: str) -> None:
        self._click_in_row(title, ".ant-btn")

    def _click_in_row(self, title: str, button: str) -> None:
        row = self.rows().index(title) + 1
        self.click(f"tr.ant-table-row:nth-child({row} of .ant-table-row) {button}")

    def new_item(self) -> None:
        self.click("button", "Create")

    def type_into(self, name: str, text: str) -> None:
        self.fill(f"#{name}", text)

    def value_of(self, name: str) -> str:
        return str(self.page.run(f"document.querySelector('#{name}')?.value"))

    def error_at(self, name: str) -> str:
        return str(
            self.page.run(
                f"document.querySelector('#{name}').closest('.ant-form-item')"
                ".querySelector('.ant-form-item-explain-error')?.innerText"
            )
        )

    def save(self) -> None:
        self.click("button", "Save")

    def load_again(self) -> None:
        self.click("button", "Refresh")

    def delete_item(self, title: str) -> None:
        self._click_in_row(title, ".ant-btn-dangerous")
        self.click(".ant-popconfirm button", "Delete")

    def undo(self) -> None:
        self.click(".ant-notification button")

    def choose(self, *titles: str) -> None:
        for title in titles:
            self._click_in_row(title, "input[type=checkbox]")

    def chosen(self) -> int:
        return int(self.page.run("document.querySelectorAll('tbody input:checked').length"))

    def archive_chosen(self) -> None:
        self.click("button", f"Archive {self.chosen()}")

    def delete_chosen(self) -> None:
        self.click("button", f"Delete {self.chosen()}")

    def export(self) -> None:
        self.click("button", "Export")

    def menu(self) -> list[str]:
        return [one for one in self.texts(".ant-menu [role=menuitem]") if one != "Logout"]

    def may_create(self) -> bool:
        return "Create" in self.texts("button")
