// The page behind the link in a letter: it sends the link's token, and a password where one is set.

const form = document.querySelector("form");
const message = document.querySelector("#message");
const password = document.querySelector("#password");
const repeated = document.querySelector("#repeated");
const show = document.querySelector("#show");

const NO_TOKEN = "This page is opened by the link in a letter. Open the letter, and follow its link.";
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

function end(text, options) {
  form.hidden = true;
  form.reset();
  say(text, options);
}

function blame(field, text) {
  document.querySelector(`#${field.id}-problem`).textContent = text;
  field.setAttribute("aria-invalid", String(text !== ""));
}

/** Tell what is wrong before the server does, and put the cursor there. */
function passwordsAreRight() {
  blame(password, password.value.length < password.minLength ? `At least ${password.minLength} characters.` : "");
  blame(repeated, password.value === repeated.value ? "" : "The two are not the same.");
  const wrong = [password, repeated].find((field) => field.getAttribute("aria-invalid") === "true");
  wrong?.focus();
  return wrong === undefined;
}

async function send(body) {
  const response = await fetch(form.dataset.action, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "omit",
    body: JSON.stringify(body),
  });
  return { ok: response.ok, answer: await response.json() };
}

function refuse({ errors = {}, detail = UNREACHABLE }) {
  if (errors.token) {
    end(detail, { failed: true });
  } else if (password && errors.password) {
    blame(password, errors.password);
    password.focus();
  } else {
    say(detail, { failed: true });
  }
}

async function submit(event) {
  event.preventDefault();
  say("");
  if (password && !passwordsAreRight()) return;
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const { ok, answer } = await send(password ? { token, password: password.value } : { token });
    if (ok) end(answer.message);
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
if (token) form.hidden = false;
else say(NO_TOKEN, { failed: true });
