import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

export const apiUrl = environment("API_URL");

// All that is added to what the packages send by themselves.
export const addedHeaders = {
  Authorization: `Bearer ${environment("TOKEN")}`,
  Prefer: "return=representation",
};

// Tells the records of this run from whatever else the database holds.
export const tag = `run${randomUUID().slice(0, 8)}`;

// Created in this order, so that neither title nor status sorts as the id does.
export const samples = [
  { title: `${tag} delta`, description: "The first.", status: "active" },
  { title: `${tag} alpha`, description: "The second.", status: "draft" },
  { title: `${tag} golf`, description: "The third.", status: "archived" },
  { title: `${tag} charlie`, description: "The fourth.", status: "active" },
  { title: `${tag} foxtrot`, description: "The fifth.", status: "archived" },
  { title: `${tag} bravo`, description: "The sixth.", status: "active" },
  { title: `${tag} echo`, description: "The seventh.", status: "draft" },
];

// As patterns, each of the first three would match the record after it.
export const oddTitles = ["50% off", "500 off", "a_c", "abc", "Tea & milk + 'ünïcode' [#1]?"].map(
  (t) => `${tag} ${t}`,
);

export const owner = {
  email: `${tag}@example.com`,
  full_name: "Contract Owner",
  password: `Kettle-${tag}-Marble`,
};

/** The titles of records, without the tag. */
export function words(records) {
  return records.map((record) => record.title.slice(tag.length + 1));
}

export function ids(records) {
  return records.map((record) => record.id);
}

export function ascending(numbers) {
  return [...numbers].sort((a, b) => a - b);
}

/** A record is as it was, but for the given changes and what every write moves along. */
export function assertChanged(after, before, changes) {
  const { updated_at, version } = after;
  assert.deepEqual(after, { ...before, ...changes, updated_at, version });
  assert.notEqual(version, before.version, "a write gives the record a new version");
}

/** The body of a refusal carries a message for people and blames the field. */
export function assertProblem(body, { status, error, field }) {
  assert.equal(body.status, status);
  assert.equal(body.error, error);
  assert.ok(body.message.length > 0, "the message is empty");
  assert.equal(body.message, body.detail);
  if (field) {
    assert.deepEqual(Object.keys(body.errors), [field]);
    assert.ok(body.errors[field].length > 0, `the text for ${field} is empty`);
  }
}

/** What a call was refused with; a call that goes through fails. */
export async function refusalOf(call) {
  let answer;
  try {
    answer = await call;
  } catch (refusal) {
    return refusal;
  }
  assert.fail(`should have been refused, but gave ${JSON.stringify(answer)}`);
}

/** Run one step, say so in one line, and end the script where it fails. */
export async function check(call, step) {
  try {
    const result = await step();
    console.log(`ok    ${call}`);
    return result;
  } catch (error) {
    console.log(`FAIL  ${call}`);
    console.error(readable(error));
    process.exit(1);
  }
}

// react-admin's errors have a stack without the message, refine's are plain objects with the request in them.
function readable(error) {
  const answer = error.body ?? error.response?.data;
  const parts = [error.message ?? error.code ?? String(error)];
  if (error.config) {
    parts.push(`request: ${error.config.method} ${error.config.url}`);
  }
  if (answer !== undefined) {
    parts.push(`answer: ${JSON.stringify(answer)}`);
  }
  if (error.stack) {
    parts.push(error.stack.replace(/^.*?(?=^ +at )/ms, ""));
  }
  return parts.join("\n");
}

function environment(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`Set ${name} in the environment.`);
    process.exit(2);
  }
  return value;
}
