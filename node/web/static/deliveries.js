// The queue of deliveries: what waits, what failed and why, and "Deliver again" for operators.
import { ago, ask, isOperator, make, moment, order, show, trouble } from "./dom.js";

const EVERY_MS = 5000;
const PAGE = 50;
const FILTERS = [
  ["All", {}],
  ["Waiting", { state: "pending" }],
  ["Given up", { state: "dead" }],
  ["Delivered", { state: "delivered" }],
  ["Results", { event: "result" }],
];
const WORDS = { pending: "waiting", dead: "given up", delivered: "delivered" };
const LOOKS = { pending: "receiving", dead: "failed", delivered: "ready" };
const place = (id) => document.getElementById(id);
let chosen = 0;
let shown = [];
let before = null;
let pages = 1;

function read() {
  const url = new URLSearchParams(location.search);
  chosen = Math.max(0, FILTERS.findIndex(([, wanted]) =>
    (wanted.state ?? "") === (url.get("state") ?? "") && (wanted.event ?? "") === (url.get("event") ?? "")));
}

function query(older) {
  const url = new URLSearchParams({ limit: PAGE, ...FILTERS[chosen][1] });
  if (older) url.set("before", older);
  return `/api/deliveries?${url}`;
}

export function stateOf(delivery) {
  const next = delivery.due === null ? "" : delivery.due * 1000 > Date.now() ? `, next try ${moment(delivery.due)}` : ", next try now";
  const tries = delivery.attempts ? `${delivery.attempts} ${delivery.attempts === 1 ? "try" : "tries"}${next}` : "";
  return [
    make("span", { class: `state ${LOOKS[delivery.state]}` }, WORDS[delivery.state]),
    tries && delivery.state !== "delivered" ? make("span", { class: "quiet small" }, ` ${tries}`) : null,
    delivery.reason && delivery.state !== "delivered" ? make("div", { class: `why ${delivery.state === "dead" ? "failed-why" : ""}`, title: delivery.reason }, delivery.reason) : null,
  ].filter(Boolean);
}

export function againButton(delivery, done) {
  const kept = delivery.state === "dead" || (delivery.state === "delivered" && delivery.event !== "result");
  if (!isOperator() || !kept) return null;
  const name = `Deliver again to ${delivery.target}, number ${delivery.id}`;
  return make("button", { class: "button", type: "button", "aria-label": name, onclick: async () => {
    const answer = await order(`/api/deliveries/${delivery.id}/deliver`).catch((error) => ({ done: error.message }));
    done(`${delivery.target}: ${answer.done}`);
  } }, "Deliver again");
}

function row(one) {
  return make("tr", {},
    make("td", { class: "date", "data-name": "Target" }, one.target),
    make("td", { "data-name": "Event" }, one.event.replaceAll("-", " ")),
    make("td", { "data-name": "Series" }, make("a", { href: `/series/${one.address}` }, one.description || "no description"),
      make("div", { class: "mono quiet", title: one.address }, one.address)),
    make("td", { class: "num", "data-name": "Revision" }, String(one.revision)),
    make("td", { "data-name": "State" }, ...stateOf(one)),
    make("td", { class: "date", "data-name": "Made", title: moment(one.created_at) }, ago(one.created_at)),
    make("td", {}, againButton(one, (text) => { place("said").textContent = text; refresh(); })));
}

function draw(counts) {
  show(place("chips"), ...FILTERS.map(([name, wanted], number) => make("button", {
    class: "chip", type: "button", "aria-pressed": String(number === chosen), "aria-label": name,
    onclick: () => {
      const url = new URLSearchParams(wanted);
      history.pushState(null, "", url.size ? `?${url}` : location.pathname);
      chosen = number;
      pages = 1;
      refresh();
    },
  }, name, wanted.state ? make("b", {}, counts[wanted.state].toLocaleString()) : null)));
  show(document.querySelector("#deliveries tbody"), ...shown.map(row));
  place("empty").hidden = shown.length > 0;
  place("empty").textContent = chosen ? "No delivery is like that." : "Nothing has been delivered yet. The entries of deliver: in the configuration say what is sent where.";
  place("more").hidden = before === null;
}

async function refresh() {
  const asked = chosen;
  try {
    let page = await ask(query());
    const found = page.deliveries;
    for (let at = 1; at < pages && page.before !== null; at += 1) {
      page = { ...(await ask(query(page.before))), counts: page.counts };
      found.push(...page.deliveries);
    }
    if (asked !== chosen) return;
    [shown, before] = [found, page.before];
    draw(page.counts);
    trouble(null);
  } catch (error) {
    trouble(error.status ? error.message : "The node does not answer. Trying again …");
  }
}

if (place("more")) {
  place("more").addEventListener("click", () => { pages += 1; refresh(); });
  addEventListener("popstate", () => { read(); pages = 1; refresh(); });
  read();
  refresh();
  setInterval(() => document.hidden || refresh(), EVERY_MS);
}
