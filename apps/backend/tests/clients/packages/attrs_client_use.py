import os
from io import BytesIO

from attrs_client import AuthenticatedClient, Client
from attrs_client.api.auth import login
from attrs_client.api.items import create_item, export_items, get_items, import_items, update_item
from attrs_client.models import (
    BodyImportItems,
    DryRun,
    ExportItemsFormat,
    ImportPreview,
    ImportResult,
    ItemCreate,
    ItemPublic,
    ItemUpdate,
    LoginForm,
    Problem412,
    Problem412Error,
    TokenPublic,
)
from attrs_client.types import File

url = os.environ["API_URL"]
form = LoginForm(username=os.environ["EMAIL"], password=os.environ["PASSWORD"])
token = login.sync(client=Client(base_url=url), body=form)
assert isinstance(token, TokenPublic)
client = AuthenticatedClient(base_url=url, token=token.access_token)

created = create_item.sync_detailed(client=client, body=ItemCreate(title="Lamp"))
assert isinstance(created.parsed, ItemPublic)
item_id, tag = created.parsed.id, created.headers["ETag"]

items = get_items.sync(client=client, title=["Lamp"])
assert isinstance(items, list)
assert [item.id for item in items] == [item_id]


def change(title: str, *, dry_run: bool = False) -> object:
    body = ItemUpdate(title=title)
    return update_item.sync(item_id, client=client, body=body, if_match=tag, dry_run=dry_run)


assert isinstance(change("Desk lamp", dry_run=True), DryRun)
changed = change("Desk lamp")
assert isinstance(changed, ItemPublic)
assert changed.title == "Desk lamp"
refused = change("Floor lamp")
assert isinstance(refused, Problem412)
assert refused.error is Problem412Error.CHANGED_MEANWHILE

for file_format in ExportItemsFormat:
    content = export_items.sync_detailed(client=client, format_=file_format).content
    assert content.startswith(b"PK") if file_format == "xlsx" else b"Desk lamp" in content


def import_chairs(*, dry_run: bool) -> object:
    file = File(payload=BytesIO(b"title\nChair\n"), file_name="items.csv", mime_type="text/csv")
    return import_items.sync(client=client, body=BodyImportItems(file=file), dry_run=dry_run)


assert isinstance(import_chairs(dry_run=True), ImportPreview)
imported = import_chairs(dry_run=False)
assert isinstance(imported, ImportResult)
assert imported.created == 1
