import assert from "node:assert/strict";

import { client } from "./hey_api/client.gen.js";
import {
  createItem,
  exportItems,
  getItems,
  importItems,
  login,
  updateItem,
} from "./hey_api/sdk.gen.js";

const { API_URL = "", EMAIL = "", PASSWORD = "" } = process.env;
client.setConfig({ baseUrl: API_URL, auth: () => token });
let token = "";

const answer = await login({ body: { username: EMAIL, password: PASSWORD } });
assert(answer.data?.token_type === "bearer");
token = answer.data.access_token; // Its type has no token in cookie mode.

const created = await createItem({ body: { title: "Lamp" } });
assert(created.response?.status === 201 && created.data && "id" in created.data);
const item_id = created.data.id;

const list = await getItems({ query: { title: ["Lamp"] } });
assert.deepEqual(list.data?.map((item) => item.id), [item_id]);

const tag = created.response.headers.get("ETag") ?? "";
const change = (title: string) =>
  updateItem({ path: { item_id }, headers: { "If-Match": tag }, body: { title } });
const changed = await change("Desk lamp");
assert(changed.data && "title" in changed.data && changed.data.title === "Desk lamp");
const refused = await change("Floor lamp");
assert(refused.error?.error === "CHANGED_MEANWHILE");

for (const format of ["csv", "jsonl", "xlsx"] as const) {
  const file = await exportItems({ query: { format }, parseAs: "blob" });
  const text = await file.data?.text();
  assert.match(text ?? "", format === "xlsx" ? /^PK/ : /Desk lamp/);
}

const body = { file: new File(["title\nChair\n"], "items.csv") };
const preview = await importItems({ body, query: { dry_run: true } });
assert(preview.data?.kind === "preview" && !preview.data.refused);
const imported = await importItems({ body });
assert(imported.data?.kind === "import" && imported.data.created === 1);
