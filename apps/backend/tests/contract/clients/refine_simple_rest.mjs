import assert from "node:assert/strict";
import dataProvider, { axiosInstance } from "@refinedev/simple-rest";
import {
  addedHeaders,
  apiUrl,
  ascending,
  assertChanged,
  assertProblem,
  check,
  ids,
  oddTitles,
  owner,
  refusalOf,
  samples,
  tag,
  words,
} from "./shared.mjs";

Object.assign(axiosInstance.defaults.headers.common, addedHeaders);
const provider = dataProvider(apiUrl, axiosInstance);

const byTitle = { field: "title", order: "asc" };
const ofThisRun = { field: "q", operator: "eq", value: tag };

/** `getList` of this run's sample items, as refine's tables call it. */
function listItems({
  filters = [],
  sorters = [byTitle],
  pagination = { currentPage: 1, pageSize: 25 },
} = {}) {
  return provider.getList({
    resource: "items",
    filters: [ofThisRun, ...filters],
    sorters,
    pagination,
  });
}

async function getItem(id) {
  return (await provider.getOne({ resource: "items", id })).data;
}

function assertRefused(refusal, expected) {
  assert.equal(refusal.statusCode, expected.status, refusal.stack);
  assertProblem(refusal.response.data, expected);
  assert.equal(refusal.message, refusal.response.data.message);
}

const user = await check("create users", async () => {
  const { data } = await provider.create({ resource: "users", variables: owner });
  assert.equal(data.email, owner.email);
  assert.equal(data.role, "user");
  return (await provider.getOne({ resource: "users", id: data.id })).data;
});

await check("getList users: filtered, with total", async () => {
  const filters = [{ field: "email", operator: "eq", value: owner.email }];
  assert.deepEqual(await provider.getList({ resource: "users", filters }), {
    data: [user],
    total: 1,
  });
});

await check("getList users: one page of all, newest first", async () => {
  const { data, total } = await provider.getList({
    resource: "users",
    pagination: { currentPage: 1, pageSize: 1 },
    sorters: [{ field: "id", order: "desc" }],
  });
  assert.deepEqual(data, [user]);
  assert.ok(total >= 2, `the first admin and the new user make 2, not ${total}`);
});

await check("getMany users", async () => {
  assert.deepEqual(await provider.getMany({ resource: "users", ids: [user.id] }), { data: [user] });
});

const items = await check("create items", async () => {
  const created = [];
  for (const sample of samples) {
    const { data } = await provider.create({
      resource: "items",
      variables: { ...sample, owner_id: user.id },
    });
    assert.ok(Number.isInteger(data.id));
    assert.deepEqual({ ...data, ...sample, owner_id: user.id }, data);
    created.push(data);
  }
  return created;
});
const [first, second, third, fourth, ...rest] = items;

await check("getList items: pages, with the total on each", async () => {
  const pages = await Promise.all(
    [1, 2, 3, 4].map((currentPage) => listItems({ pagination: { currentPage, pageSize: 3 } })),
  );
  assert.deepEqual(
    pages.map(({ data }) => words(data)),
    [["alpha", "bravo", "charlie"], ["delta", "echo", "foxtrot"], ["golf"], []],
  );
  assert.deepEqual(
    pages.map(({ total }) => total),
    [7, 7, 7, 7],
  );
});

await check("getList items: descending", async () => {
  const { data } = await listItems({ sorters: [{ field: "title", order: "desc" }] });
  assert.deepEqual(words(data), ["golf", "foxtrot", "echo", "delta", "charlie", "bravo", "alpha"]);
});

await check("getList items: by two fields in two directions", async () => {
  const sorters = [
    { field: "status", order: "asc" },
    { field: "title", order: "desc" },
  ];
  const { data } = await listItems({ sorters });
  assert.deepEqual(words(data), ["delta", "charlie", "bravo", "golf", "foxtrot", "echo", "alpha"]);
});

await check("getList items: without paging", async () => {
  const { data, total } = await listItems({
    pagination: { mode: "off" },
    sorters: [{ field: "id", order: "asc" }],
  });
  assert.deepEqual([data, total], [items, 7]);
});

await check("getList items: with nothing but the resource", async () => {
  const { data, total } = await provider.getList({ resource: "items" });
  assert.equal(data.length, Math.min(total, 10));
});

const filtered = [
  ["eq, nothing matches", [{ field: "title", operator: "eq", value: "no such title" }], []],
  ["eq", [{ field: "status", operator: "eq", value: "active" }], ["bravo", "charlie", "delta"]],
  [
    "ne",
    [{ field: "status", operator: "ne", value: "active" }],
    ["alpha", "echo", "foxtrot", "golf"],
  ],
  [
    "in",
    [{ field: "status", operator: "in", value: ["draft", "archived"] }],
    ["alpha", "echo", "foxtrot", "golf"],
  ],
  [
    "gte",
    [{ field: "id", operator: "gte", value: fourth.id }],
    ["bravo", "charlie", "echo", "foxtrot"],
  ],
  [
    "lte",
    [{ field: "id", operator: "lte", value: fourth.id }],
    ["alpha", "charlie", "delta", "golf"],
  ],
  [
    "contains, without regard to case",
    [{ field: "title", operator: "contains", value: "LPH" }],
    ["alpha"],
  ],
  [
    "gte a moment as the API writes it",
    [{ field: "created_at", operator: "gte", value: first.created_at }],
    7,
  ],
  [
    "several at once",
    [
      { field: "status", operator: "in", value: ["draft", "active"] },
      { field: "title", operator: "contains", value: "o" },
      { field: "owner_id", operator: "eq", value: user.id },
    ],
    ["bravo", "echo"],
  ],
];
for (const [name, filters, titles] of filtered) {
  await check(`getList items: filter, ${name}`, async () => {
    const { data, total } = await listItems({ filters });
    assert.equal(total, data.length);
    assert.deepEqual(typeof titles === "number" ? total : words(data), titles);
  });
}

await check("getList items of a user, in place of getManyReference", async () => {
  const { data, total } = await provider.getList({
    resource: "items",
    filters: [{ field: "owner_id", operator: "eq", value: user.id }],
    sorters: [byTitle],
    pagination: { currentPage: 2, pageSize: 5 },
  });
  assert.equal(total, 7);
  assert.deepEqual(words(data), ["foxtrot", "golf"]);
});

await check(
  "create, getList and deleteOne items: odd titles are found by each character as it is",
  async () => {
    const odd = await Promise.all(
      oddTitles.map((title) => provider.create({ resource: "items", variables: { title } })),
    );
    for (const title of oddTitles) {
      for (const operator of ["eq", "contains"]) {
        const { data } = await listItems({ filters: [{ field: "title", operator, value: title }] });
        assert.deepEqual(
          data.map((record) => record.title),
          [title],
          operator,
        );
      }
    }
    const { data } = await listItems({
      filters: [{ field: "title", operator: "contains", value: "50%" }],
    });
    assert.deepEqual(
      data.map((record) => record.title),
      [oddTitles[0]],
    );
    await Promise.all(
      odd.map((answer) => provider.deleteOne({ resource: "items", id: answer.data.id })),
    );
  },
);

await check("getOne items", async () => {
  assert.deepEqual(await provider.getOne({ resource: "items", id: String(first.id) }), {
    data: first,
  });
});

await check("getMany items", async () => {
  const { data } = await provider.getMany({
    resource: "items",
    ids: [second.id, String(first.id)],
  });
  assert.deepEqual(ascending(ids(data)), [first.id, second.id]);
});

await check("custom: the item list by its own address", async () => {
  const { data } = await provider.custom({
    url: `${provider.getApiUrl()}/items`,
    method: "get",
    sorters: [byTitle],
    filters: [ofThisRun],
    query: { _start: 0, _end: 2 },
  });
  assert.deepEqual(words(data), ["alpha", "bravo"]);
});

await check("update items: one field", async () => {
  const changes = { title: `${tag} hotel` };
  const { data } = await provider.update({ resource: "items", id: first.id, variables: changes });
  assertChanged(data, first, changes);
  assert.deepEqual(await getItem(first.id), data);
});

await check("update items: the whole record by PUT", async () => {
  const before = await getItem(first.id);
  const changes = { description: null };
  const variables = { ...before, ...changes };
  const { data } = await provider.update({
    resource: "items",
    id: first.id,
    variables,
    meta: { method: "put" },
  });
  assertChanged(data, before, changes);
});

// The package has no updateMany and no deleteMany; refine then makes one call for each record, all at once.
await check("update items: several at once", async () => {
  const changes = { description: "Changed with another." };
  const answers = await Promise.all(
    [second, third].map(({ id }) => provider.update({ resource: "items", id, variables: changes })),
  );
  assertChanged(answers[0].data, second, changes);
  assertChanged(answers[1].data, third, changes);
  assert.deepEqual(await getItem(fourth.id), fourth);
});

await check("update users: the whole record comes back, one field changed", async () => {
  const changes = { full_name: "Contract Owner the Second" };
  const { data } = await provider.update({
    resource: "users",
    id: user.id,
    variables: { ...user, ...changes },
  });
  assertChanged(data, user, changes);
});

await check("create items: an empty title is refused, and the message arrives", async () => {
  const refusal = await refusalOf(provider.create({ resource: "items", variables: { title: "" } }));
  assertRefused(refusal, { status: 422, error: "INVALID_REQUEST", field: "title" });
});

await check("update items: an empty title is refused, and nothing is written", async () => {
  const variables = { title: "", description: "Not to be written." };
  const refusal = await refusalOf(provider.update({ resource: "items", id: fourth.id, variables }));
  assertRefused(refusal, { status: 422, error: "INVALID_REQUEST", field: "title" });
  assert.deepEqual(await getItem(fourth.id), fourth);
});

await check("getList items: an unknown filter is refused by its name", async () => {
  const filters = [{ field: "colour", operator: "eq", value: "red" }];
  const refusal = await refusalOf(listItems({ filters }));
  assertRefused(refusal, { status: 422, error: "INVALID_REQUEST" });
  assert.match(JSON.stringify([refusal.message, refusal.response.data.errors]), /colour/);
});

await check("deleteOne items", async () => {
  const before = await getItem(first.id);
  const { data } = await provider.deleteOne({ resource: "items", id: first.id });
  assert.equal(data.id, first.id);
  assert.equal(data.title, before.title);
  assertRefused(await refusalOf(getItem(first.id)), { status: 404, error: "ITEM_NOT_FOUND" });
});

await check("deleteOne items: several at once, with the body that refine may send", async () => {
  const answers = await Promise.all(
    [second, third].map(({ id }) => provider.deleteOne({ resource: "items", id, variables: {} })),
  );
  assert.deepEqual(ids(answers.map(({ data }) => data)), [second.id, third.id]);
});

await check("getList items: what was deleted is gone, the rest is as it was", async () => {
  const { data, total } = await listItems({ sorters: [{ field: "id", order: "asc" }] });
  assert.deepEqual([data, total], [[fourth, ...rest], 4]);
});

await check("getMany items: what was deleted is left out", async () => {
  const { data } = await provider.getMany({ resource: "items", ids: ids(items) });
  assert.deepEqual(ascending(ids(data)), ids([fourth, ...rest]));
});
