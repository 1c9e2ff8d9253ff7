import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { paths } from "./schema.js";

const { API_URL = "", EMAIL = "", PASSWORD = "" } = process.env;
const api = createClient<paths>({ baseUrl: API_URL });

const login = await api.POST("/api/v1/auth/login", {
  body: { username: EMAIL, password: PASSWORD },
});
assert(login.data?.token_type === "bearer");
const { access_token } = login.data; // Its type has no token in cookie mode.
api.use({
  onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${access_token}`),
});

const created = await api.POST("/api/v1/items", { body: { title: "Lamp" } });
assert(created.response.status === 201 && created.data && "id" in created.data);
const { id } = created.data;

const list = await api.GET("/api/v1/items", { params: { query: { title: ["Lamp"] } } });
assert.deepEqual(list.data?.map((item) => item.id), [id]);
assert.equal(list.response.headers.get("X-Total-Count"), "1");

const tag = created.response.headers.get("ETag") ?? "";
const change = (title: string) =>
  api.PATCH("/api/v1/items/{item_id}", {
    params: { path: { item_id: id }, header: { "If-Match": tag } },
    body: { title },
  });
const changed = await change("Desk lamp");
assert(changed.data && "title" in changed.data && changed.data.title === "Desk lamp");
const refused = await change("Floor lamp");
assert(refused.error?.error === "CHANGED_MEANWHILE");

for (const format of ["csv", "jsonl", "xlsx"] as const) {
  const file = await api.GET("/api/v1/items/export", {
    params: { query: { format } },
    parseAs: "arrayBuffer",
  });
  const text = Buffer.from(file.data ?? new ArrayBuffer()).toString("latin1");
  assert.match(text, format === "xlsx" ? /^PK/ : /Desk lamp/);
}

const tried = async (dry_run: boolean) => {
  const answer = await api.POST("/api/v1/items/import", {
    params: { query: { dry_run } },
    body: { file: "" },
    bodySerializer: () => {
      const form = new FormData();
      form.append("file", new File(["title\nChair\n"], "items.csv"));
      return form;
    },
  });
  assert(answer.data);
  return answer.data;
};
const preview = await tried(true);
assert(preview.kind === "preview" && !preview.refused);
assert.equal((await tried(false)).kind, "import");
