// The newest records of the log.
import { openPart } from "./admin.js";
import { ask, make, moment, trouble } from "./dom.js";

const form = document.getElementById("logfinder");
const GRAVE = { WARNING: "held-why", ERROR: "failed-why", CRITICAL: "failed-why" };
let typing = 0;

function row(one) {
  const fields = Object.entries(one.fields).filter(([, value]) => value !== "" && !one.message.includes(String(value))).map(([name, value]) => `${name} ${value}`).join(" · ");
  return make("tr", {},
    make("td", { class: "date", "data-name": "Time", title: one.time }, moment(Date.parse(one.time) / 1000)),
    make("td", { class: GRAVE[one.level] ?? "quiet", "data-name": "Level" }, one.level.toLowerCase()),
    make("td", { class: "mono quiet", "data-name": "Part" }, one.logger.replace("node.", "")),
    make("td", { class: "wrap", "data-name": "Message" }, one.message,
      fields ? make("div", { class: "quiet small wrap" }, fields) : null,
      one.exception ? make("details", {}, make("summary", {}, "Traceback"), make("pre", { class: "mono" }, one.exception)) : null));
}

async function refresh() {
  const url = new URLSearchParams(new FormData(form));
  const found = await ask(`/api/log?${url}`).catch((error) => trouble(error.message));
  if (!found) return;
  document.querySelector("#records tbody").replaceChildren(...found.map(row));
  document.getElementById("norecords").hidden = found.length > 0;
}

form.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
form.addEventListener("change", refresh);
form.elements.search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, 400); });
addEventListener("part", (event) => event.detail === "log" && refresh());
if (openPart() === "log") refresh();
