import { ago, ask, bytes, dicomDate, isOperator, make, moment, seriesName, stateBadge, stateWords, trouble } from "./dom.js";

const FIRST_MS = 2000;
const EVERY_MS = 10000;
const SOON_MS = 400;
const PAGE = 50;
const MOST_PAGES = 40; // that are loaded again when somebody comes back
const FILTERS = [
  ["All", []],
  ["In progress", ["receiving", "settled", "assembling"]],
  ["Ready", ["ready"]],
  ["Held", ["held"]],
  ["Failed", ["failed"]],
  ["Not a volume", ["not-a-volume"]],
  ["Joined", ["joined"]],
];
const FIELDS = ["modality", "first", "last", "sender", "project", "sort"];
const place = (id) => document.getElementById(id);
const form = place("finder");
let chosen = 0;
let studies = [];
let next = null;
let pages = 1;
let shown = "";
let asked = 0;
let typing = 0;
let soon = 0;

// What is searched for may be a patient's name: it is kept with the place in the history, never in the URL.
function read() {
  const url = new URLSearchParams(location.search);
  for (const name of FIELDS) {
    const field = form.elements[name];
    const value = url.get(name) ?? "";
    if (value && field.tagName === "SELECT" && ![...field.options].some((one) => one.value === value)) {
      field.append(make("option", { value }, value));
    }
    field.value = value;
  }
  chosen = Math.max(0, FILTERS.findIndex(([, states]) => states.join() === (url.get("state") ?? "")));
  form.elements.search.value = history.state?.search ?? url.get("search") ?? "";
  pages = history.state?.pages ?? 1;
}

function keep(push) {
  const url = new URLSearchParams();
  for (const name of FIELDS) if (form.elements[name].value) url.set(name, form.elements[name].value);
  if (chosen) url.set("state", FILTERS[chosen][1].join());
  const state = { search: form.elements.search.value, pages, scroll: scrollY };
  const target = url.size ? `/?${url}` : "/";
  if (push) history.pushState(state, "", target);
  else history.replaceState(state, "", target);
}

function query(cursor) {
  const url = new URLSearchParams({ limit: PAGE });
  const plain = (name) => form.elements[name].value.replaceAll("-", "");
  for (const name of ["modality", "sender", "project", "sort", "search"]) {
    if (form.elements[name].value) url.set(name, form.elements[name].value);
  }
  if (plain("first") || plain("last")) url.set("date", `${plain("first")}-${plain("last")}`);
  for (const state of FILTERS[chosen][1]) url.append("state", state);
  if (cursor) url.set("cursor", cursor);
  return `/api/studies?${url}`;
}

function explanation(series) {
  if (series.refusals.length) return series.refusals.slice(0, 2).map((one) => `${one.source}: ${one.sentence}`);
  if (series.state === "ready") return [];
  const proof = series.evidence.filter((one) => one.says === "incomplete").slice(0, 1);
  return [series.why, ...proof.map((one) => one.sentence)].filter(Boolean);
}

function row(series) {
  const target = `/series/${series.address}`;
  const words = stateWords(series);
  return make("tr", { class: "link", onclick: (event) => event.target.closest("a") || (location.href = target) },
    make("td", { class: "thumb" }, series.picture
      ? make("img", { src: series.picture, alt: "", loading: "lazy" })
      : make("div", { class: "nothumb" })),
    make("td", {},
      make("a", { href: target }, seriesName(series)),
      make("div", { class: "mono quiet", title: series.address }, series.address),
      ...series.shares.slice(0, 1).map((share) => make("div", { class: "why", title: share.sentence }, share.sentence)),
      ...explanation(series).map((text) => make("div", { class: `why ${series.state}-why`, title: text }, text))),
    make("td", {}, series.modality || "–"),
    make("td", { class: "date" }, dicomDate(series.date) || "–"),
    make("td", { class: "num" }, String(series.instances)),
    make("td", { class: "statecell" }, stateBadge(series.state), words && make("span", { class: "quiet small" }, ` · ${words}`)),
    make("td", { title: moment(series.last_arrival), "data-at": series.last_arrival }, ago(series.last_arrival)));
}

function study(one) {
  const who = one.patient ? [one.patient.name.replaceAll("^", " ").trim(), one.patient.patient_id, one.accession] : [];
  const what = [one.description || "no description", dicomDate(one.date), one.modalities.join(", ")];
  const more = one.series_count - one.series.length;
  const words = stateWords(one);
  return make("tbody", {},
    make("tr", { class: "study" }, make("th", { colspan: 7, scope: "rowgroup" },
      [...who, ...what].filter(Boolean).join(" · "), " ",
      make("span", { title: one.why ?? "" }, stateBadge(one.state)),
      words && make("span", { class: "quiet small" }, ` · ${words}`),
      make("span", { class: "quiet small" },
        ` · ${one.series_count} series${one.hidden ? `, ${one.hidden} more do not match` : ""} `),
      make("a", { class: "small", href: `/api/studies/${one.study_instance_uid}/zip` }, "Download volumes"),
      ...one.drift.map((each) => make("div", { class: "why" }, each.sentence)))),
    ...one.series.map(row),
    more > 0 ? make("tr", {}, make("td", { colspan: 7, class: "quiet" }, `and ${more} more series`)) : null);
}

function chips(states) {
  const all = Object.values(states).reduce((sum, count) => sum + count, 0);
  place("chips").replaceChildren(...FILTERS.map(([name, wanted], number) =>
    make("button", {
      class: "chip", type: "button",
      "aria-pressed": String(number === chosen),
      onclick: () => { chosen = number; change(); },
    }, name, make("b", {}, String(wanted.length ? wanted.reduce((sum, state) => sum + states[state], 0) : all)))));
}

function facts(node) {
  place("facts").replaceChildren(...[
    make("span", {}, `AE title ${node.ae_title}, port ${node.port}`),
    make("span", {}, `${node.instances.toLocaleString()} instances in ${node.series.toLocaleString()} series`),
    ...(node.conflicts ? [make("span", {}, `${node.conflicts.toLocaleString()} in conflict`)] : []),
    ...(node.quarantine.refused + node.quarantine.answered ? [make("span", {},
      `quarantine: ${node.quarantine.refused.toLocaleString()} refused, ${node.quarantine.answered.toLocaleString()} not ingested`)] : []),
    make("span", {}, `${bytes(node.free_bytes)} free`),
    node.damaged ? make("span", { class: "why failed-why" },
      `${node.damaged.toLocaleString()} files are damaged or lost: rasnode verify lists them`) : null,
    make("span", {}, `version ${node.version}`),
  ].filter(Boolean));
  place("empty").replaceChildren(
    node.series ? "No series matches. Clear the search or the filters to see all."
      : "No series has been received yet. Send a folder with DICOM files:",
    ...(node.series ? [] : [make("br"), make("code", { class: "mono" },
      `dcmsend -aec ${node.ae_title} +sd +r ${location.hostname} ${node.port} FOLDER`)]));
}

function draw() {
  const says = JSON.stringify([studies, chosen]);
  if (says !== shown) {
    shown = says;
    for (const old of document.querySelectorAll("#studies tbody")) old.remove();
    place("studies").append(...studies.map(study));
  }
  for (const cell of document.querySelectorAll("[data-at]")) cell.textContent = ago(Number(cell.dataset.at));
  place("more").hidden = next === null;
  place("empty").hidden = studies.length > 0;
}

const key = (one) => `${one.study_instance_uid} ${one.patient?.patient_id ?? ""}`;

function merged(first, rest) {
  const known = new Set(first.map(key));
  return [...first, ...rest.filter((one) => !known.has(key(one)))];
}

async function refresh(anew = false) {
  const number = ++asked;
  try {
    const [node, page] = await Promise.all([ask("/api/node"), ask(query())]);
    let found = page.studies;
    let after = page.next;
    for (let at = 1; anew && at < Math.min(pages, MOST_PAGES) && after; at += 1) {
      const more = await ask(query(after));
      found = merged(found, more.studies);
      after = more.next;
    }
    if (number !== asked) return; // another answer is on its way
    facts(node);
    chips(page.states);
    if (anew || pages === 1) [studies, next] = [found, after];
    else studies = merged(found, studies);
    draw();
    trouble(null);
  } catch (error) {
    trouble(error.status ? error.message : "The node does not answer. Trying again …");
  }
}

function change() {
  pages = 1;
  keep(true);
  refresh(true);
}

async function choices() {
  const found = await ask("/api/filters").catch(() => null);
  if (!found) return;
  for (const [name, values] of [["modality", found.modalities], ["sender", found.senders], ["project", found.projects]]) {
    const field = form.elements[name];
    const known = [...field.options].map((one) => one.value);
    field.append(...values.filter((value) => !known.includes(value)).map((value) => make("option", { value }, value)));
  }
}

function listen() {
  const events = new EventSource("/api/events");
  events.addEventListener("message", () => {
    clearTimeout(soon);
    soon = setTimeout(() => document.hidden || refresh(), SOON_MS);
  });
}

form.addEventListener("submit", (event) => { event.preventDefault(); change(); });
form.addEventListener("change", (event) => event.target.name !== "search" && change());
form.addEventListener("reset", () => setTimeout(() => { chosen = 0; change(); }));
form.elements.search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(change, SOON_MS); });
place("more").addEventListener("click", async () => {
  const number = ++asked;
  const more = await ask(query(next)).catch((error) => trouble(error.message));
  if (!more || number !== asked) return;
  studies = merged(studies, more.studies);
  next = more.next;
  pages += 1;
  keep(false);
  draw();
});
addEventListener("pagehide", () => keep(false));
addEventListener("popstate", () => { read(); refresh(true); });
addEventListener("uploaded", () => refresh());
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    form.elements.search.focus();
  }
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());

if (document.querySelector('meta[name="role"]')) form.elements.search.placeholder = "patient, accession number, description, UID";
place("upload").hidden = !isOperator();
history.scrollRestoration = "manual";
const scroll = history.state?.scroll ?? 0;
read();
await refresh(true);
scrollTo(0, scroll);
choices();
const first = setInterval(() => document.hidden || refresh(), FIRST_MS);
setTimeout(() => { // who only looks in does not take a connection for events
  clearInterval(first);
  listen();
  setInterval(() => document.hidden || refresh(), EVERY_MS);
}, EVERY_MS);
