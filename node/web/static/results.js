// A mask, map or image back into DICOM, on the series of this page: downloaded, or sent to a peer.
import { ask, changing, isOperator, make } from "./dom.js";

const uid = decodeURIComponent(location.pathname.split("/").pop());
const form = document.getElementById("resultform");
const said = document.getElementById("resultsaid");
const field = (name) => form.elements[name];

function fill() {
  const body = new FormData();
  for (const name of ["image", "labels"]) if (field(name).files[0]) body.append(name, field(name).files[0]);
  for (const name of ["as", "units", "description", "algorithm", "send"]) if (field(name).value) body.append(name, field(name).value);
  return body;
}

async function made(answer) {
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  if (!answer.ok) {
    const body = isJson ? await answer.json() : {};
    said.className = "failed-why";
    said.textContent = body.detail ?? `The node answered with HTTP status ${answer.status}.`;
  } else if (isJson) {
    const body = await answer.json();
    const left = body.labels_left_out.map((one) => one.name).join(", ");
    said.className = "says-complete";
    said.textContent = `${body.instances.length} ${body.instances.length === 1 ? "instance" : "instances"} (series ${body.series_number}) wait for ${body.send}; the deliveries above say when they are there.${left ? ` Left out, as no voxel has them: ${left}.` : ""}`;
  } else {
    const name = /filename="([0-9.]+(?:dcm|zip))"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "result.dcm";
    const url = URL.createObjectURL(await answer.blob());
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    said.className = "says-complete";
    said.textContent = `${name} is downloaded.`;
  }
}

async function show() {
  const series = await ask(`/api/series/${uid}`).catch(() => null);
  document.getElementById("result").hidden = !series?.files.some((file) => file.volume);
}

if (isOperator()) {
  show();
  setInterval(() => document.hidden || show(), 5000);
  ask("/api/peers").then((names) => field("send").append(...names.map((name) => make("option", { value: name }, name)))).catch(() => null);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    said.className = "quiet";
    said.textContent = "The node makes the result …";
    await fetch(`/api/series/${uid}/results`, { method: "POST", headers: changing(), body: fill() }).then(made)
      .catch(() => { said.textContent = "The node does not answer."; });
    button.disabled = false;
  });
}
