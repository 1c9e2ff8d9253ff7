import assert from "node:assert/strict";
import jsonServerProvider from "ra-data-json-server";
import { checkDataProvider, httpClient, listItems } from "./react_admin.mjs";
import { apiUrl, check } from "./shared.mjs";

const provider = jsonServerProvider(apiUrl, httpClient);

await checkDataProvider(provider);

await check("getList items: without page, order or filter", async () => {
  const { data, total } = await provider.getList("items", {});
  assert.equal(data.length, Math.min(total, 100));
});
await check("getList items: the largest page", async () => {
  const { data, total } = await listItems(provider, { perPage: 1000 });
  assert.equal(data.length, total);
});
