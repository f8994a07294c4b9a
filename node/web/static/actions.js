// What operators do to the series of this page; others see its downloads only.
import { ask, isOperator, make, order } from "./dom.js";

const uid = decodeURIComponent(location.pathname.split("/").pop());
const place = document.getElementById("actions");
const EVERY_MS = 2000;
const REST = ["ready", "not-a-volume", "failed", "held"];
const ACTIONS = [
  ["retry", "Assemble again", (state) => REST.includes(state)],
  ["force", "Assemble as it is", (state) => ["receiving", "held"].includes(state)],
  ["hold", "Hold", (state) => state !== "held"],
  ["release", "Release", (state) => state === "held"],
  ["deliver", "Deliver again", (state) => REST.includes(state)],
];
const said = make("span", { class: "quiet small", role: "status" });
let shown = "";

async function act(name) {
  const answer = await order(`/api/series/${uid}/${name}`).catch((error) => ({ done: error.message }));
  said.textContent = answer.done;
  await refresh();
}

async function refresh() {
  const series = await ask(`/api/series/${uid}`).catch(() => null);
  const says = series && `${series.state} ${series.revision}`;
  if (!series || says === shown) return;
  shown = says;
  place.replaceChildren(
    ...(isOperator() ? ACTIONS.filter(([, , fits]) => fits(series.state)).map(([name, text]) =>
      make("button", { class: "button", type: "button", onclick: () => act(name) }, text)) : []),
    series.files.length ? make("a", { class: "button", href: `/api/series/${uid}/zip` }, "Download all files") : "",
    said);
}

refresh();
setInterval(() => document.hidden || refresh(), EVERY_MS);
