// The deliveries of the series of this page, and which entries of `deliver` would apply to it.
import { againButton, stateOf } from "./deliveries.js";
import { ask, isOperator, make, moment } from "./dom.js";

const EVERY_MS = 5000;
const EVENTS = ["ready", "not-a-volume", "failed", "held", "superseded", "protocol-drift", "study-ready"];
const uid = decodeURIComponent(location.pathname.split("/").pop());
const place = (id) => document.getElementById(id);
const said = make("span", { class: "quiet small", role: "status" });
let shown = "";

async function refresh() {
  const found = await ask(`/api/deliveries?series=${encodeURIComponent(uid)}&limit=50`).catch(() => null);
  if (!found || JSON.stringify(found.deliveries) === shown) return;
  shown = JSON.stringify(found.deliveries);
  place("deliveries").hidden = !found.deliveries.length && !isOperator();
  const items = found.deliveries.map((one) => make("li", { class: "delivery" },
    make("div", {}, make("b", {}, one.target), ` ${one.event.replaceAll("-", " ")}, revision ${one.revision} `,
      make("span", { class: "quiet small" }, `${moment(one.created_at)} `), ...stateOf(one)),
    againButton(one, (text) => { said.textContent = text; refresh(); })));
  place("delivered").replaceChildren(...(items.length ? items : [make("li", { class: "quiet" }, "Nothing of this series has been delivered.")]));
}

async function tried(event) {
  const found = await ask(`/api/series/${uid}/rules?event=${event}`).catch((error) => error.message);
  const items = typeof found === "string" ? [make("li", { class: "failed-why" }, found)] : found.map((one) => make("li", {},
    make("b", {}, one.name), " ",
    one.why_not ? make("span", { class: "quiet" }, `does not get it: ${one.why_not}`) : make("span", { class: "says-complete" }, "gets it")));
  place("tried").replaceChildren(...(items.length ? items : [make("li", { class: "quiet" }, "The configuration has no entry of deliver.")]));
}

if (isOperator()) {
  const event = make("select", { id: "event", "aria-label": "Event" }, ...EVENTS.map((name) => make("option", { value: name }, name.replaceAll("-", " "))));
  place("rules").append(
    make("label", {}, "Which deliveries would get ", event),
    make("button", { class: "button", type: "button", onclick: () => tried(event.value) }, "Try the rules"),
    make("span", { class: "quiet small" }, "Nothing is sent by this."), said);
}
refresh();
setInterval(() => document.hidden || refresh(), EVERY_MS);
