// Helpers of all pages. Text from peers becomes text nodes only: nothing here parses HTML.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Shows other children; the focus stays on what is called the same, for those who work by keyboard.
export function show(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  parent.replaceChildren(...children);
  if (focused) parent.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

export const isOperator = () => ["operator", "admin"].includes(meta("role"));

export const changing = () => ({ Accept: "application/json", ...(meta("csrf") && { "X-CSRF-Token": meta("csrf") }) });

export const order = (url, body) => ask(url, {
  method: "POST",
  headers: { ...changing(), ...(body && { "Content-Type": "application/json" }) },
  ...(body && { body: JSON.stringify(body) }),
});

export const remove = (url) => ask(url, { method: "DELETE", headers: changing() });

export async function ask(url, options = {}) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, ...options });
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!answer.ok) {
    const detail = typeof body.detail === "string" ? body.detail : `The node answered with HTTP status ${answer.status}.`;
    throw Object.assign(new Error(detail), { status: answer.status });
  }
  return body;
}

export function trouble(text) {
  const banner = document.getElementById("trouble");
  banner.hidden = !text;
  banner.textContent = text ?? "";
}

export const stateBadge = (state) => make("span", { class: `state ${state}` }, state.replaceAll("-", " "));

// "ready · assumed complete after 5 s of silence": the state and its verdict in plain words.
export function stateWords(series) {
  if (series.state !== "ready" || !series.verdict) return null;
  if (series.verdict === "complete") return "proven complete";
  if (series.verdict === "incomplete") return "incomplete";
  const silence = /(\d+(?:\.\d+)?) ?s\b/.exec(series.why);
  return silence ? `assumed complete after ${silence[1]} s of silence` : "assumed complete";
}

export const saying = (says) => (says ? make("span", { class: `says-${says}` }, says) : "–");

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count > 0 ? Math.min(4, Math.floor(Math.log2(count) / 10)) : 0;
  return `${(count / 1024 ** power).toFixed(power > 1 ? 1 : 0)} ${units[power]}`;
}

export const moment = (seconds) => new Date(seconds * 1000).toLocaleString("sv"); // 2025-03-04 09:30:00

export function ago(seconds) {
  const passed = Math.max(0, Date.now() / 1000 - seconds);
  if (passed < 5) return "now";
  if (passed < 90) return `${Math.round(passed)} s ago`;
  if (passed < 5400) return `${Math.round(passed / 60)} min ago`;
  if (passed < 129600) return `${Math.round(passed / 3600)} h ago`;
  return `${Math.round(passed / 86400)} d ago`;
}

export const dicomDate = (date) =>
  /^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date;

export const seriesName = (series) =>
  [series.number, series.description || "no description"].filter((part) => part !== null).join(" · ");
