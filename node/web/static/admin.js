// The parts of the administrators' page, and the settings in effect.
import { ask, make, trouble } from "./dom.js";

const PARTS = ["users", "settings", "log"];
const place = (id) => document.getElementById(id);

export const openPart = () => (PARTS.includes(location.hash.slice(1)) ? location.hash.slice(1) : PARTS[0]);

function show() {
  for (const part of PARTS) place(`${part}-part`).hidden = part !== openPart();
  for (const link of document.querySelectorAll("#chips a")) {
    if (link.hash === `#${openPart()}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (openPart() === "settings") settings();
  dispatchEvent(new CustomEvent("part", { detail: openPart() }));
}

function at(values, key) {
  return key.split(".").reduce((found, part) => found?.[part], values);
}

async function settings() {
  const found = await ask("/api/settings").catch((error) => trouble(error.message));
  if (!found) return;
  place("file").textContent = `Configuration: ${found.file}. Secrets are shown as ***. Changes of most settings need a restart of the node; peers, access and deliveries are read again by SIGHUP.`;
  const rows = Object.entries(found.sources).map(([key, source]) => {
    const value = at(found.settings, key);
    return make("tr", { "data-key": key.toLowerCase() },
      make("td", { class: "mono", "data-name": "Setting" }, key),
      make("td", { class: "mono wrap", "data-name": "Value" }, value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value)),
      make("td", { class: source === "default" ? "quiet" : null, "data-name": "From" }, source.replace(`${found.file}:`, "line ")));
  });
  document.querySelector("#settinglist tbody").replaceChildren(...rows);
  narrow();
}

function narrow() {
  const word = place("key").value.trim().toLowerCase();
  for (const row of document.querySelectorAll("#settinglist tbody tr")) row.hidden = !row.dataset.key.includes(word);
}

place("key").addEventListener("input", narrow);
addEventListener("hashchange", show);
show();
