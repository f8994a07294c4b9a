import { ago, ask, bytes, dicomDate, make, moment, saying, seriesName, stateBadge, trouble } from "./dom.js";

const EVERY_MS = 2000;
const FILTERS = [
  ["All", []],
  ["In progress", ["receiving", "settled", "assembling"]],
  ["Ready", ["ready"]],
  ["Held", ["held"]],
  ["Failed", ["failed"]],
  ["Not a volume", ["not-a-volume"]],
];
const place = (id) => document.getElementById(id);
let filter = 0;
let limit = 50;
let shown = "";

function explanation(series) {
  if (series.refusals.length) return series.refusals.slice(0, 2).map((one) => `${one.source}: ${one.sentence}`);
  if (series.state === "ready") return [];
  const proof = series.evidence.filter((one) => one.says === "incomplete").slice(0, 1);
  return [series.why, ...proof.map((one) => one.sentence)].filter(Boolean);
}

function row(series) {
  const target = `/series/${series.address}`;
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
    make("td", {}, stateBadge(series.state)),
    make("td", {}, saying(series.verdict)),
    make("td", { class: "num" }, series.revision ? String(series.revision) : "–"),
    make("td", { title: moment(series.last_arrival), "data-at": series.last_arrival }, ago(series.last_arrival)));
}

function chips(states) {
  const all = Object.values(states).reduce((sum, count) => sum + count, 0);
  place("chips").replaceChildren(...FILTERS.map(([name, wanted], number) =>
    make("button", {
      class: "chip",
      "aria-pressed": String(number === filter),
      onclick: () => { filter = number; limit = 50; shown = ""; refresh(); },
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
  const empty = place("empty");
  empty.replaceChildren(
    node.series ? "There are no series in this state." : "No series has been received yet. Send DICOM files with:",
    ...(node.series ? [] : [make("br"), make("code", { class: "mono" },
      `storescu -aec ${node.ae_title} +sd +r ${location.hostname} ${node.port} FOLDER`)]));
}

async function refresh() {
  const wanted = FILTERS[filter][1].map((state) => `&state=${state}`).join("");
  try {
    const [node, page] = await Promise.all([ask("/api/node"), ask(`/api/series?limit=${limit}${wanted}`)]);
    facts(node);
    const says = JSON.stringify([page, filter]);
    if (says !== shown) {
      shown = says;
      chips(page.states);
      place("rows").replaceChildren(...page.series.map(row));
      place("more").hidden = page.before === null || limit >= 1000;
    }
    for (const cell of document.querySelectorAll("[data-at]")) cell.textContent = ago(Number(cell.dataset.at));
    place("empty").hidden = page.series.length > 0;
    trouble(null);
  } catch (error) {
    trouble(error.status ? error.message : "The node does not answer. Trying again …");
  }
}

place("more").addEventListener("click", () => { limit = Math.min(1000, limit * 2); refresh(); });
async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, EVERY_MS);
}
document.addEventListener("visibilitychange", () => document.hidden || refresh());
watch();
