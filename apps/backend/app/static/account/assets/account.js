// The one form of an account page: it is sent as JSON, with the token of the link where it needs one.

const form = document.querySelector("form");
const message = document.querySelector("#message");
const password = document.querySelector("#password");
const repeated = document.querySelector("#repeated");
const show = document.querySelector("#show");

const NO_TOKEN = "This page opens by the link in an e-mail. Open that link, or get a new e-mail.";
const UNREACHABLE = "The server cannot be reached right now. Try again in a moment.";

// Kept here alone: whoever looks at the address bar, or goes back to this page, finds no token.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);
window.addEventListener("hashchange", () => location.reload());

function say(text, { failed = false } = {}) {
  message.textContent = text;
  message.classList.toggle("failed", failed);
  if (text) message.focus();
}

/** Leave the form, and show where to go on. */
function end(text, outcome) {
  form.hidden = true;
  form.reset();
  for (const way of document.querySelectorAll(`[data-after=${outcome}]`)) way.hidden = false;
  say(text, { failed: outcome === "failed" });
}

function blame(field, text) {
  document.querySelector(`#${field.id}-problem`).textContent = text;
  field.setAttribute("aria-invalid", String(text !== ""));
}

function faultOf(field) {
  if (field.value.length < field.minLength) return `At least ${field.minLength} characters.`;
  if (field === repeated) return field.value === password.value ? "" : "The two are not the same.";
  return field.value ? "" : "This field is required.";
}

/** Tell what is wrong before the server does, and put the cursor there. */
function fieldsAreRight() {
  const fields = [...form.querySelectorAll("input")];
  for (const field of fields) blame(field, faultOf(field));
  const wrong = fields.find((field) => field.getAttribute("aria-invalid") === "true");
  wrong?.focus();
  return wrong === undefined;
}

async function post(action, body, accessToken) {
  const headers = { "Content-Type": "application/json" };
  if (accessToken) headers.Authorization = `Bearer ${accessToken}`;
  const response = await fetch(action, {
    method: "POST",
    headers,
    credentials: "omit",
    body: JSON.stringify(body),
  });
  return { ok: response.ok, answer: response.status === 204 ? {} : await response.json() };
}

/** Sign in, send, and sign out again: nothing is kept in this browser. */
async function postSignedIn({ username, ...body }) {
  const login = await post(form.dataset.login, { username, password: body.current_password });
  if (!login.ok) return login;
  const { access_token, refresh_token } = login.answer;
  try {
    return await post(form.dataset.action, body, access_token);
  } finally {
    await post(form.dataset.logout, { refresh_token }).catch(() => {});
  }
}

function refuse({ errors = {}, detail = UNREACHABLE }) {
  const wrong = [...form.elements].filter((field) => errors[field.name]);
  for (const field of wrong) blame(field, errors[field.name]);
  if (errors.token) end(detail, "failed");
  else if (wrong.length) wrong[0].focus();
  else say(detail, { failed: true });
}

async function submit(event) {
  event.preventDefault();
  say("");
  if (!fieldsAreRight()) return;
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const body = Object.fromEntries(new FormData(form));
    if ("needsToken" in form.dataset) body.token = token;
    const { ok, answer } = form.dataset.login
      ? await postSignedIn(body)
      : await post(form.dataset.action, body);
    if (ok) end(answer.message ?? form.dataset.done, "done");
    else refuse(answer);
  } catch {
    say(UNREACHABLE, { failed: true });
  } finally {
    button.disabled = false;
  }
}

function toggle() {
  const isShown = show.getAttribute("aria-pressed") !== "true";
  show.setAttribute("aria-pressed", String(isShown));
  for (const field of [password, repeated]) field.type = isShown ? "text" : "password";
}

form.addEventListener("submit", submit);
show?.addEventListener("click", toggle);
if ("needsToken" in form.dataset && !token) end(NO_TOKEN, "failed");
else form.hidden = false;
