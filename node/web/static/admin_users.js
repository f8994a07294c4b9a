// Users and tokens: listed, added, removed.
import { openPart } from "./admin.js";
import { ask, make, moment, order, remove, trouble } from "./dom.js";

const place = (id) => document.getElementById(id);
const said = (text) => { place("said").textContent = text; };

function token(one) {
  const ended = one.ends_at !== null && one.ends_at * 1000 < Date.now();
  return make("div", {}, one.role, make("span", { class: "quiet small" },
    one.ends_at === null ? " without end" : ` ${ended ? "ended" : "until"} ${moment(one.ends_at).slice(0, 10)}`));
}

function row(one) {
  const button = make("button", { class: "button", type: "button", "aria-label": `Remove ${one.name}`, onclick: async () => {
    if (!confirm(`Remove ${one.name}? The password, all tokens and all sessions end at once.`)) return;
    const error = await remove(`/api/users/${encodeURIComponent(one.name)}`).then(() => null, (found) => found.message);
    said(error ?? `${one.name} has no password, token or session any more.`);
    refresh();
  } }, "Remove");
  return make("tr", {},
    make("td", { "data-name": "Name" }, one.name),
    make("td", { "data-name": "Role" }, one.role ?? make("span", { class: "quiet" }, "no password")),
    make("td", { "data-name": "Tokens" }, ...(one.tokens.length ? one.tokens.map(token) : ["–"])),
    make("td", { class: "num", "data-name": "Open sessions" }, String(one.sessions)),
    make("td", {}, button));
}

async function refresh() {
  const found = await ask("/api/users").catch((error) => trouble(error.message));
  if (!found) return;
  document.querySelector("#userlist tbody").replaceChildren(...found.map(row));
  place("nobody").hidden = found.length > 0;
}

place("adduser").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { name, role, password } = Object.fromEntries(new FormData(form));
  const answer = await order("/api/users", { name, role, password }).catch((error) => error);
  said(answer instanceof Error ? answer.message : `${answer.name} may log in as ${answer.role}.`);
  if (!(answer instanceof Error)) form.reset();
  refresh();
});

place("maketoken").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { name, role, days } = Object.fromEntries(new FormData(form));
  const url = `/api/users/${encodeURIComponent(name)}/tokens`;
  const answer = await order(url, { role, days: days ? Number(days) : null }).catch((error) => error);
  place("token").textContent = answer instanceof Error ? answer.message : `${answer.token} – copy it now: it is shown once.`;
  refresh();
});

// Without local users nobody can log in by a password; programs can have tokens all the same.
ask("/api/settings").then(({ settings }) => {
  if (settings.http.auth?.local) return;
  place("adduser").replaceWith(make("p", { class: "quiet" }, "Users log in at the provider or the proxy, as http.auth.local is off: who may do what is decided there."));
}).catch(() => null);

addEventListener("part", (event) => event.detail === "users" && refresh());
if (openPart() === "users") refresh();
