import { ask, bytes, dicomDate, make, moment, saying, seriesName, stateBadge, trouble } from "./dom.js";
import { Viewer } from "./viewer.js";

const EVERY_MS = 2000;
const uid = decodeURIComponent(location.pathname.split("/").pop());
const place = (id) => document.getElementById(id);
let shown = "";
let revision = null;
let viewer = null;

function title(series) {
  document.title = `${seriesName(series)} · rasnode`;
  place("title").replaceChildren(
    make("h1", {}, seriesName(series)), stateBadge(series.state), saying(series.verdict),
    make("span", { class: "quiet" }, series.revision ? `revision ${series.revision}` : "no revision yet"),
    make("span", { class: "mono quiet" }, series.address),
    ...series.refusals.map((refusal) => make("div", { class: `why ${series.state}-why` }, `${refusal.source}: ${refusal.sentence}`)),
    ...series.drift.map((one) => make("div", { class: "why held-why" }, one.sentence)),
    ...(series.joined ? [make("div", { class: "why" }, "Its images are part of the volume of ",
      make("a", { href: `/series/${series.joined}` }, series.joined))] : []),
    ...series.damaged.map((sentence) => make("div", { class: "why failed-why" }, sentence)),
    ...series.shares.map((share) => make("div", { class: "why" },
      `${share.sentence.split(":")[0]}: `, make("a", { href: `/series/${share.address}` }, share.address))));
}

function facts(series) {
  const pairs = [
    ["Modality", series.modality], ["Body part", series.body_part], ["Date", dicomDate(series.date)],
    ["Instances", String(series.instances)], ["First arrival", moment(series.first_arrival)],
    ["Last arrival", moment(series.last_arrival)],
    ["Study", series.study_instance_uid],
  ];
  for (const one of Object.values(series.quality)) pairs.push(...measured(one));
  place("facts").replaceChildren(...pairs.filter(([, value]) => value).flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", { class: name === "Study" ? "mono" : null }, value)]));
}

// Figures with units and limits; what they mean for the scan is for people to say.
function measured(one) {
  const mm = (value) => (value === null ? "–" : `${value.toFixed(2)} mm`);
  return [
    ["Displacement", `mean ${mm(one.fd_mean_mm)}, largest ${mm(one.fd_max_mm)}; ${one.fd_above_limit} of ${one.volumes} volumes above ${one.fd_limit_mm} mm`],
    ["Against the first volume", `at most ${mm(one.translation_max_mm)}, ${one.rotation_max_degrees?.toFixed(2) ?? "–"}°`],
    ["Temporal SNR", one.tsnr_median === null ? "–" : `median ${one.tsnr_median.toFixed(0)} (a ratio)`],
    ["Spikes", `${one.spikes} slices`],
  ];
}

function list(id, items, otherwise) {
  place(id).replaceChildren(...(items.length ? items : [make("li", { class: "quiet" }, otherwise)]));
}

function files(series) {
  place("filecard").hidden = !series.files.length;
  place("files").replaceChildren(...series.files.map((file) => make("tr", {},
    make("td", {}, make("a", { href: file.url }, file.ending)),
    make("td", { class: "num" }, bytes(file.bytes)),
    make("td", { class: "mono" }, file.path ?? "not shown, as the file name identifies the patient; rasnode status shows it"))));
}

// The temporal signal-to-noise ratio of each 4D volume, with what its grey levels mean.
function pictures(series) {
  const found = series.files.filter((file) => file.ending === ".tsnr.png");
  const white = Object.values(series.quality).map((one) => one.tsnr_white);
  place("tsnr").hidden = !found.length;
  place("tsnr").replaceChildren(make("h2", {}, "Temporal signal-to-noise ratio"), ...found.map((file, number) =>
    make("figure", { class: "drawn" },
      make("img", { src: file.url, alt: "The ratio in the middle axial, coronal and sagittal plane" }),
      make("figcaption", { class: "quiet small" }, white[number] ? `Black is 0, white is ${white[number]} and above; outside the head it is not shown.` : "Nothing varies."))));
}

function volumes(series) {
  const found = series.files.filter((file) => file.volume);
  const card = place("volumes");
  card.hidden = !found.length;
  if (!found.length || series.revision === revision) return;
  revision = series.revision;
  const stage = make("div");
  const open = (number) => { viewer?.close(); viewer = new Viewer(stage, found[number].volume, seriesName(series)); };
  const choice = make("select", { "aria-label": "Volume", onchange: (event) => open(event.target.value) },
    ...found.map((file, number) => make("option", { value: number }, `Volume ${number + 1} of ${found.length}`)));
  card.replaceChildren(...(found.length > 1 ? [make("p", {}, choice)] : []), stage);
  open(0);
}

async function refresh() {
  try {
    const series = await ask(`/api/series/${uid}`);
    const says = JSON.stringify(series);
    if (says !== shown) {
      shown = says;
      title(series);
      facts(series);
      volumes(series);
      files(series);
      pictures(series);
      list("evidence", [...(series.why ? [make("li", {}, series.why)] : []), ...series.evidence.map((item) => make("li", {},
        saying(item.says), ` ${item.sentence} `, make("span", { class: "quiet small" }, item.source)))], "No evidence yet.");
      list("arrivals", series.arrivals.map((arrival) => make("li", {},
        `${arrival.instances} ${arrival.instances === 1 ? "instance" : "instances"} from ${arrival.calling_ae} (${arrival.address}), ${arrival.end} `,
        make("span", { class: "quiet small" }, moment(arrival.last_at)))), "Imported, not received from a peer.");
      list("history", series.history.toReversed().map((step) => make("li", {},
        make("span", { class: "quiet small" }, `${moment(step.at)} `),
        `${step.from_state.replaceAll("-", " ")} → ${step.to_state.replaceAll("-", " ")} `,
        make("span", { class: "quiet small" }, [step.actor, step.why].filter(Boolean).join(": ")))), "No changes of state yet.");
    }
    trouble(null);
  } catch (error) {
    trouble(error.status ? error.message : "The node does not answer. Trying again …");
    if (error.status === 404) {
      for (const columns of document.querySelectorAll(".columns")) columns.hidden = true;
      return false;
    }
  }
  return true;
}

async function watch() {
  if (document.hidden || await refresh()) setTimeout(watch, EVERY_MS);
}
watch();
