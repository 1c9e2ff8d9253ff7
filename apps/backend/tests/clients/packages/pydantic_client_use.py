import os

from pydantic_client import (
    ApiClient,
    ApiException,
    AuthApi,
    Configuration,
    DryRun,
    ImportPreview,
    ImportResult,
    ItemCreate,
    ItemPublic,
    ItemsApi,
    ItemUpdate,
    LoginForm,
    TokenPublic,
)

configuration = Configuration(host=os.environ["API_URL"])
client = ApiClient(configuration)
items = ItemsApi(client)

form = LoginForm(username=os.environ["EMAIL"], password=os.environ["PASSWORD"])
token = AuthApi(client).login(form).actual_instance
assert isinstance(token, TokenPublic)
configuration.access_token = token.access_token

created = items.create_item_with_http_info(ItemCreate(title="Lamp"))
item: object = created.data  # Its type is that of the smallest status, a dry run.
assert isinstance(item, ItemPublic)
assert created.headers is not None
item_id, tag = item.id, created.headers["etag"]

assert [one.id for one in items.get_items(title=["Lamp"])] == [item_id]


def change(title: str, *, dry_run: bool = False) -> object:
    body = ItemUpdate(title=title)
    return items.update_item(item_id, body, if_match=tag, dry_run=dry_run).actual_instance


assert isinstance(change("Desk lamp", dry_run=True), DryRun)
changed = change("Desk lamp")
assert isinstance(changed, ItemPublic)
assert changed.title == "Desk lamp"
refusal = None
try:
    change("Floor lamp")
except ApiException as error:
    refusal = error
assert refusal is not None
assert refusal.status == 412
assert getattr(refusal.data, "error", None) == "CHANGED_MEANWHILE"

for file_format in ("csv", "jsonl", "xlsx"):
    content = items.export_items(format=file_format)
    assert content.startswith(b"PK") if file_format == "xlsx" else b"Desk lamp" in content


def import_chairs(*, dry_run: bool) -> object:
    file = ("items.csv", b"title\nChair\n")
    return items.import_items(file=file, dry_run=dry_run).actual_instance


assert isinstance(import_chairs(dry_run=True), ImportPreview)
imported = import_chairs(dry_run=False)
assert isinstance(imported, ImportResult)
assert imported.created == 1
