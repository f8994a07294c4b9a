// Jobs that fetch studies from peers: how far they are and why not further; operators order and change them.
import { ask, isOperator, make, moment, order, show, trouble } from "./dom.js";

const EVERY_MS = 3000;
const KEYS = ["PatientID", "AccessionNumber", "StudyInstanceUID", "StudyDate", "Modality"];
const LOOKS = { waiting: "receiving", running: "receiving", paused: "held", done: "ready", failed: "failed", cancelled: "not-a-volume" };
const ORDERS = { waiting: ["pause", "cancel"], running: ["pause", "cancel"], paused: ["resume", "cancel"], done: ["retry"], failed: ["retry"], cancelled: ["retry"] };
const TEXTS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Try again what is missing" };
const place = (id) => document.getElementById(id);
const form = place("orderform");
const open = new Map(); // name of a job to its rows, as they were last read
let shown = "";

function say(text) {
  place("said").textContent = text;
}

async function change(job, wanted) {
  const answer = await order(`/api/pulls/${job}/${wanted}`).catch((error) => ({ done: error.message }));
  say(`${job}: ${answer.done}`);
  refresh();
}

function progress(job) {
  const items = Object.entries(job.items).filter(([, count]) => count).map(([state, count]) => `${count} ${state}`);
  return make("div", {},
    job.expected ? make("progress", { max: job.expected, value: Math.min(job.received, job.expected), "aria-label": `Progress of ${job.name}` }) : null,
    make("div", { class: "quiet small" },
      [job.expected ? `${job.received.toLocaleString()} of ${job.expected.toLocaleString()} instances` : "", items.length ? `rows: ${items.join(", ")}` : "",
        `made ${moment(job.created_at)}`, job.ended_at ? `ended ${moment(job.ended_at)}` : ""].filter(Boolean).join(" · ")));
}

function rows(items) {
  return make("table", { class: "stacked" },
    make("thead", {}, make("tr", {}, ...["Row", "Asked for", "State", "Studies", "Why"].map((name) => make("th", {}, name)))),
    make("tbody", {}, ...items.slice(0, 500).map((item) => make("tr", {},
      make("td", { class: "num", "data-name": "Row" }, String(item.row)),
      make("td", { "data-name": "Asked for" }, Object.entries(item.query).map(([key, value]) => `${key}=${value}`).join(", ")),
      make("td", { "data-name": "State" }, item.state.replaceAll("-", " ")),
      make("td", { "data-name": "Studies" }, ...item.studies.map((study) => make("div", { class: "mono", title: study.study_instance_uid },
        `${study.received} of ${study.expected ?? "?"}: ${study.study_instance_uid}`))),
      make("td", { "data-name": "Why" }, make("div", { class: "why", title: item.reason }, item.reason || "")))),
    items.length > 500 ? make("tr", {}, make("td", { colspan: 5 }, "rasnode pulls shows the other rows.")) : null));
}

function card(job) {
  const known = open.get(job.name);
  const details = make("details", { open: Boolean(known), ontoggle: async (event) => {
    if (!event.target.open) { open.delete(job.name); return; }
    if (open.has(job.name)) return;
    const found = await ask(`/api/pulls/${job.name}`).catch((error) => { say(error.message); return null; });
    if (!found) return;
    open.set(job.name, found.items);
    details.append(rows(found.items));
  } }, make("summary", { "aria-label": `Rows of ${job.name}` }, "Rows"), known ? rows(known) : null);
  return make("section", { class: "card", "aria-label": job.name },
    make("div", { class: "title" }, make("h2", {}, job.name), make("span", { class: `state ${LOOKS[job.state]}` }, job.state),
      make("span", { class: "quiet" }, `from ${job.peer}`)),
    job.reason ? make("div", { class: job.state === "failed" ? "why failed-why" : "why" }, job.reason) : null,
    progress(job),
    isOperator() ? make("div", { class: "actions" }, ...(ORDERS[job.state] ?? []).map((wanted) =>
      make("button", { class: "button", type: "button", "aria-label": `${TEXTS[wanted]}: ${job.name}`, onclick: () => change(job.name, wanted) }, TEXTS[wanted]))) : null,
    isOperator() ? details : null);
}

async function refresh() {
  try {
    const jobs = (await ask("/api/pulls")).toReversed();
    for (const job of jobs.filter((one) => open.has(one.name) && one.state === "running")) {
      const found = await ask(`/api/pulls/${job.name}`).catch(() => null);
      if (found && open.has(job.name)) open.set(job.name, found.items);
    }
    const says = JSON.stringify([jobs, [...open]]);
    if (says !== shown) {
      shown = says;
      show(place("jobs"), ...jobs.map(card));
    }
    place("empty").hidden = jobs.length > 0;
    trouble(null);
  } catch (error) {
    trouble(error.status ? error.message : "The node does not answer. Trying again …");
  }
}

async function fetchStudies(event) {
  event.preventDefault();
  const row = Object.fromEntries(KEYS.map((key) => [key, form.elements[key].value.trim()]).filter(([, value]) => value));
  const asked = { peer: form.elements.peer.value, rows: [row], name: form.elements.name.value.trim() };
  if (!Object.keys(row).length) { say("Fill in at least one key."); return; }
  const answer = await order("/api/pulls", asked).catch((error) => ({ done: error.message }));
  say(answer.name ? `${answer.name}: ${answer.done}` : answer.done);
  if (answer.name) form.reset();
  refresh();
}

if (isOperator()) {
  ask("/api/peers").then((names) => {
    form.elements.peer.append(...names.map((name) => make("option", { value: name }, name)));
    place("order").hidden = !names.length;
  }).catch(() => null);
  form.addEventListener("submit", fetchStudies);
}
refresh();
setInterval(() => document.hidden || refresh(), EVERY_MS);
