import assert from "node:assert/strict";
import simpleRestProvider from "ra-data-simple-rest";
import { checkDataProvider, httpClient } from "./react_admin.mjs";
import { apiUrl, check } from "./shared.mjs";

const provider = simpleRestProvider(apiUrl, httpClient);

await checkDataProvider(provider);

await check("getMany items: no ids, no records", async () => {
  assert.deepEqual(await provider.getMany("items", { ids: [] }), { data: [] });
});
await check("getList items: without page, order or filter", async () => {
  const { data, total } = await provider.getList("items", {});
  assert.equal(data.length, Math.min(total, 10));
});
await check("getList items: the total read from X-Total-Count instead", async () => {
  const everything = {
    pagination: { page: 1, perPage: 1 },
    sort: { field: "id", order: "ASC" },
    filter: {},
  };
  const byTotalCount = simpleRestProvider(apiUrl, httpClient, "X-Total-Count");
  assert.deepEqual(
    await byTotalCount.getList("items", everything),
    await provider.getList("items", everything),
  );
});
