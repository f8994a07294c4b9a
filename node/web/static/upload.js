// Uploads of files, folders and ZIPs, by drag and drop or by choice, in requests of a bounded size.
import { changing, isOperator, make } from "./dom.js";

const MOST_FILES = 50;
const MOST_BYTES = 32 * 2 ** 20;
const progress = document.getElementById("progress");
let busy = false;

function send(batch, done) {
  return new Promise((resolve) => {
    const form = new FormData();
    for (const { file, name } of batch) form.append("files", file, name);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/instances");
    for (const [name, value] of Object.entries(changing())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => done(event.loaded));
    request.addEventListener("load", () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* the status says it */ }
      resolve(answer.files ? answer : { trouble: answer.detail ?? `HTTP status ${request.status}` });
    });
    request.addEventListener("error", () => resolve({ trouble: "the node does not answer" }));
    request.send(form);
  });
}

function batches(files) {
  const found = [];
  let size = Infinity;
  for (const one of files) {
    if (size + one.file.size > MOST_BYTES || found.at(-1).length >= MOST_FILES) {
      found.push([]);
      size = 0;
    }
    found.at(-1).push(one);
    size += one.file.size;
  }
  return found;
}

async function upload(files) {
  if (busy || !files.length) return;
  busy = true;
  const whole = files.reduce((sum, { file }) => sum + file.size, 0);
  const bar = make("progress", { max: Math.max(1, whole), value: 0, "aria-label": "Upload" });
  const text = make("div", {}, `Uploading ${files.length} files …`);
  progress.replaceChildren(bar, text);
  let sent = 0;
  let stored = 0;
  const refused = [];
  for (const batch of batches(files)) {
    const answer = await send(batch, (loaded) => { bar.value = sent + loaded; });
    sent += batch.reduce((sum, { file }) => sum + file.size, 0);
    bar.value = sent;
    if (answer.trouble) {
      refused.push({ name: `${batch.length} files`, sentence: answer.trouble });
    } else {
      stored += answer.stored;
      refused.push(...answer.files.filter((one) => one.status !== 0));
    }
    text.textContent = `${stored} instances are safe, ${refused.length} not taken in`;
  }
  progress.replaceChildren(text, ...(refused.length ? [make("details", {},
    make("summary", {}, "What was not taken in"),
    make("ul", {}, ...refused.slice(0, 200).map((one) => make("li", {}, `${one.name}: ${one.sentence}`))))] : []));
  busy = false;
  dispatchEvent(new Event("uploaded"));
}

async function below(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    found.push({ file, name: entry.fullPath.slice(1) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return;
    for (const one of some) await below(one, found);
  }
}

if (isOperator()) {
  for (const id of ["pick", "folder"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => {
      upload([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      input.value = "";
    });
    const label = input.parentElement;
    label.tabIndex = 0;
    label.setAttribute("role", "button");
    label.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), input.click()));
  }
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    for (const entry of entries) await below(entry, found);
    upload(found);
  });
}
