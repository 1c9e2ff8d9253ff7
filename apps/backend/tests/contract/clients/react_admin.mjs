// What both react-admin data providers have to do: they share one interface and differ in what they send.
import assert from "node:assert/strict";
import { fetchUtils } from "ra-core";
import {
  addedHeaders,
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

/** The http client that both packages take as their second argument. */
export function httpClient(url, options = {}) {
  const headers = new Headers(options.headers ?? { Accept: "application/json" });
  for (const [name, value] of Object.entries(addedHeaders)) {
    headers.set(name, value);
  }
  return fetchUtils.fetchJson(url, { ...options, headers });
}

export async function checkDataProvider(provider) {
  const user = await checkUsers(provider);
  const items = await checkCreate(provider, user);
  await checkPagesAndOrder(provider, items);
  await checkFilters(provider, items, user);
  await checkOddTitles(provider);
  await checkReads(provider, items, user);
  await checkUpdates(provider, items, user);
  await checkRefusals(provider, items);
  await checkDeletes(provider, items);
}

/** `getList` of this run's sample items, as a react-admin list calls it. */
export function listItems(
  provider,
  { filter = {}, field = "title", order = "ASC", page = 1, perPage = 25 } = {},
) {
  return provider.getList("items", {
    pagination: { page, perPage },
    sort: { field, order },
    filter: { q: tag, ...filter },
  });
}

async function checkUsers(provider) {
  const user = await check("create users", async () => {
    const { data } = await provider.create("users", { data: owner });
    assert.ok(Number.isInteger(data.id));
    assert.equal(data.email, owner.email);
    assert.equal(data.full_name, owner.full_name);
    assert.equal(data.role, "user");
    return (await provider.getOne("users", { id: data.id })).data;
  });
  await check("getList users: filtered, with total", async () => {
    const found = await listUsers(provider, { email: owner.email });
    assert.deepEqual(found, { data: [user], total: 1 });
  });
  await check("getList users: one page of all, newest first", async () => {
    const { data, total } = await listUsers(provider, {}, { page: 1, perPage: 1 });
    assert.deepEqual(data, [user]);
    assert.ok(total >= 2, `the first admin and the new user make 2, not ${total}`);
  });
  await check("getOne users: no secrets", async () => {
    const { data } = await provider.getOne("users", { id: user.id });
    assert.deepEqual(
      Object.keys(data).filter((name) => name.includes("password")),
      [],
    );
  });
  await check("getMany users", async () => {
    const { data } = await provider.getMany("users", { ids: [user.id] });
    assert.deepEqual(data, [user]);
  });
  return user;
}

function listUsers(provider, filter, pagination = { page: 1, perPage: 25 }) {
  return provider.getList("users", { pagination, sort: { field: "id", order: "DESC" }, filter });
}

async function checkCreate(provider, user) {
  const items = await check("create items", async () => {
    const created = [];
    for (const sample of samples) {
      const { data } = await provider.create("items", { data: { ...sample, owner_id: user.id } });
      assert.ok(Number.isInteger(data.id));
      assert.deepEqual({ ...data, ...sample, owner_id: user.id }, data);
      created.push(data);
    }
    return created;
  });
  await check("create items: what is left out gets its default", async () => {
    const { data } = await provider.create("items", { data: { title: "A plain lamp" } });
    assert.equal(data.status, "draft");
    assert.equal(data.description, null);
    assert.notEqual(data.owner_id, user.id);
  });
  return items;
}

async function checkPagesAndOrder(provider, items) {
  await check("getList items: pages, with the total on each", async () => {
    const pages = await Promise.all(
      [1, 2, 3].map((page) => listItems(provider, { page, perPage: 3 })),
    );
    assert.deepEqual(
      pages.map(({ data }) => words(data)),
      [["alpha", "bravo", "charlie"], ["delta", "echo", "foxtrot"], ["golf"]],
    );
    assert.deepEqual(
      pages.map(({ total }) => total),
      [7, 7, 7],
    );
  });
  await check("getList items: a page past the end is empty and keeps the total", async () => {
    assert.deepEqual(await listItems(provider, { page: 4, perPage: 3 }), { data: [], total: 7 });
  });
  await check("getList items: descending", async () => {
    const { data } = await listItems(provider, { order: "DESC", perPage: 2 });
    assert.deepEqual(words(data), ["golf", "foxtrot"]);
  });
  await check("getList items: by id, each record whole", async () => {
    const { data } = await listItems(provider, { field: "id" });
    assert.deepEqual(data, items);
  });
  await check("getList items: equal values come in a stable order", async () => {
    const byStatus = { field: "status", perPage: 2 };
    const pages = await Promise.all(
      [1, 2, 3, 4].map((page) => listItems(provider, { ...byStatus, page })),
    );
    const records = pages.flatMap(({ data }) => data);
    assert.deepEqual(ascending(ids(records)), ids(items));
    assert.deepEqual(
      records.map(({ status }) => status),
      ["active", "active", "active", "archived", "archived", "draft", "draft"],
    );
  });
}

async function checkFilters(provider, items, user) {
  const middle = items[3].id;
  const expected = [
    ["nothing matches", { title: "no such title" }, []],
    ["equal", { title: `${tag} echo` }, ["echo"]],
    ["one status", { status: "active" }, ["bravo", "charlie", "delta"]],
    ["one of several", { status: ["draft", "archived"] }, ["alpha", "echo", "foxtrot", "golf"]],
    ["not equal", { status_ne: "active" }, ["alpha", "echo", "foxtrot", "golf"]],
    ["contains, without regard to case", { title_like: "LPH" }, ["alpha"]],
    ["search", { q: `${tag} ECHO` }, ["echo"]],
    ["at least", { id_gte: middle }, ["bravo", "charlie", "echo", "foxtrot"]],
    ["at most", { id_lte: middle }, ["alpha", "charlie", "delta", "golf"]],
    ["above and below", { id_gt: items[0].id, id_lt: middle }, ["alpha", "golf"]],
    ["two at once", { status: "draft", owner_id: user.id, id_gt: middle }, ["echo"]],
    ["a moment as the API writes it", { created_at_lt: items[0].created_at }, []],
    [
      "a day as a date picker writes it",
      { created_at_gte: "2020-01-01", created_at_lt: "2999-12-31" },
      7,
    ],
  ];
  for (const [name, filter, titles] of expected) {
    await check(`getList items: filter, ${name}`, async () => {
      const { data, total } = await listItems(provider, { filter });
      assert.equal(total, data.length);
      assert.deepEqual(typeof titles === "number" ? total : words(data), titles);
    });
  }
}

async function checkOddTitles(provider) {
  const odd = await check("create items: odd titles", async () => {
    const answers = await Promise.all(
      oddTitles.map((title) => provider.create("items", { data: { title } })),
    );
    return answers.map(({ data }) => data);
  });
  await check("getList items: a title is found by each of its characters as they are", async () => {
    for (const { title } of odd) {
      for (const filter of [{ title }, { title_like: title }, { q: title }]) {
        const { data, total } = await listItems(provider, { filter });
        assert.deepEqual(
          [total, data.map((record) => record.title)],
          [1, [title]],
          JSON.stringify(filter),
        );
      }
    }
  });
  await check("getList items: % and _ are no wildcards", async () => {
    for (const [text, title] of [
      ["50%", oddTitles[0]],
      ["a_c", oddTitles[2]],
    ]) {
      const { data } = await listItems(provider, { filter: { title_like: text } });
      assert.deepEqual(
        data.map((record) => record.title),
        [title],
        text,
      );
    }
  });
  await check("deleteMany items: odd titles", async () => {
    const { data } = await provider.deleteMany("items", { ids: ids(odd) });
    assert.deepEqual(data, ids(odd));
  });
}

async function checkReads(provider, items, user) {
  const [first, second] = items;
  await check("getOne items", async () => {
    assert.deepEqual(await provider.getOne("items", { id: first.id }), { data: first });
  });
  await check("getOne items: an id taken from the address bar", async () => {
    assert.deepEqual(await provider.getOne("items", { id: String(first.id) }), { data: first });
  });
  await check("getMany items", async () => {
    const { data } = await provider.getMany("items", { ids: [second.id, first.id] });
    assert.deepEqual(ascending(ids(data)), [first.id, second.id]);
  });
  await check("getMany items: ids as texts", async () => {
    const { data } = await provider.getMany("items", { ids: [String(first.id)] });
    assert.deepEqual(data, [first]);
  });
  await check("getManyReference items of a user", async () => {
    const reference = {
      target: "owner_id",
      id: user.id,
      pagination: { page: 2, perPage: 2 },
      sort: { field: "title", order: "DESC" },
      filter: { status: ["active", "draft"] },
    };
    const { data, total } = await provider.getManyReference("items", reference);
    assert.equal(total, 5);
    assert.deepEqual(words(data), ["charlie", "bravo"]);
  });
}

async function checkUpdates(provider, items, user) {
  const [first, second, third] = items;
  await check("update items: the whole record comes back, one field changed", async () => {
    const changes = { title: `${tag} hotel` };
    const { data } = await provider.update("items", {
      id: first.id,
      data: { ...first, ...changes },
      previousData: first,
    });
    assertChanged(data, first, changes);
    assert.deepEqual((await provider.getOne("items", { id: first.id })).data, data);
  });
  await check("update items: null clears a description", async () => {
    const { data: before } = await provider.getOne("items", { id: first.id });
    const changes = { description: null };
    const { data } = await provider.update("items", {
      id: first.id,
      data: { ...before, ...changes },
      previousData: before,
    });
    assertChanged(data, before, changes);
  });
  await check("updateMany items", async () => {
    const changes = { description: "Changed with another." };
    const chosen = [second.id, third.id];
    const { data } = await provider.updateMany("items", { ids: chosen, data: changes });
    assert.deepEqual(data, chosen);
    for (const before of [second, third]) {
      assertChanged((await provider.getOne("items", { id: before.id })).data, before, changes);
    }
    const { data: fourth } = await provider.getOne("items", { id: items[3].id });
    assert.deepEqual(fourth, items[3]);
  });
  await check("update users: the whole record comes back, one field changed", async () => {
    const changes = { full_name: "Contract Owner the Second" };
    const { data } = await provider.update("users", {
      id: user.id,
      data: { ...user, ...changes },
      previousData: user,
    });
    assertChanged(data, user, changes);
  });
}

async function checkRefusals(provider, items) {
  const last = items.at(-1);
  await check("create items: an empty title is refused, and the message arrives", async () => {
    const refusal = await refusalOf(provider.create("items", { data: { title: "" } }));
    assertRefused(refusal, { status: 422, error: "INVALID_REQUEST", field: "title" });
  });
  await check("update items: an empty title is refused, and nothing is written", async () => {
    const data = { ...last, title: "", description: "Not to be written." };
    const refusal = await refusalOf(
      provider.update("items", { id: last.id, data, previousData: last }),
    );
    assertRefused(refusal, { status: 422, error: "INVALID_REQUEST", field: "title" });
    assert.deepEqual((await provider.getOne("items", { id: last.id })).data, last);
  });
  await check("getList items: an unknown filter is refused by its name", async () => {
    const refusal = await refusalOf(listItems(provider, { filter: { colour: "red" } }));
    assertRefused(refusal, { status: 422, error: "INVALID_REQUEST" });
    assert.match(JSON.stringify([refusal.message, refusal.body.errors]), /colour/);
  });
  await check("getOne items: what is not there is refused", async () => {
    assertRefused(await refusalOf(provider.getOne("items", { id: 999999999 })), {
      status: 404,
      error: "ITEM_NOT_FOUND",
    });
  });
}

function assertRefused(refusal, expected) {
  assert.equal(refusal.status, expected.status, refusal.stack);
  assertProblem(refusal.body, expected);
  assert.equal(refusal.message, refusal.body.message);
}

async function checkDeletes(provider, items) {
  const [first, second, third, ...rest] = items;
  await check("delete items", async () => {
    const { data: before } = await provider.getOne("items", { id: first.id });
    const { data } = await provider.delete("items", { id: first.id, previousData: before });
    assert.equal(data.id, first.id);
    assert.equal(data.title, before.title);
    assertRefused(await refusalOf(provider.getOne("items", { id: first.id })), {
      status: 404,
      error: "ITEM_NOT_FOUND",
    });
  });
  await check("deleteMany items", async () => {
    const chosen = [second.id, third.id];
    assert.deepEqual(await provider.deleteMany("items", { ids: chosen }), { data: chosen });
  });
  await check("getList items: what was deleted is gone, the rest is as it was", async () => {
    assert.deepEqual(await listItems(provider, { field: "id" }), {
      data: rest,
      total: rest.length,
    });
  });
  await check("getMany items: what was deleted is left out", async () => {
    const { data } = await provider.getMany("items", { ids: ids(items) });
    assert.deepEqual(ascending(ids(data)), ids(rest));
  });
}
