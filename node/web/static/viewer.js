// The viewer: three planes through a volume, which the node reads slice by slice as numbers; the
// browser windows and colours them.
import { ask, make } from "./dom.js";
import { attachKeys, KEYS } from "./viewer_keys.js";
import { LabelLayer } from "./viewer_labels.js";
import { PlaneView } from "./viewer_plane.js";
import { attachPointer } from "./viewer_pointer.js";
import { Slices } from "./viewer_slices.js";
import { controls, tidy } from "./viewer_controls.js";

const AGAIN_MS = 1500;
const NARROW = "(max-width: 700px)";

export class Viewer {
  // `url`: of the volume; `name`: of its series, for the list of its labels.
  constructor(stage, url, name) {
    Object.assign(this, { stage, url, name });
    this.closed = false;
    this.labels = [];
    this.measures = [];
    this.planes = [];
    this.tool = "cross";
    this.opacity = 0.5;
    this.smooth = true;
    this.cross = true;
    this.only = matchMedia(NARROW).matches ? "axial" : "";
    this.playing = false;
    this.open();
  }

  close() {
    this.closed = true;
    this.play(false);
    for (const plane of this.planes) plane.close();
  }

  async open() {
    this.stage.replaceChildren(make("p", { class: "quiet", role: "status" }, "Loading the volume …"));
    try {
      const asked = await this.described(this.url);
      if (this.closed) return;
      // A label map is shown over the volume that it belongs to, if that is here.
      const under = asked.labels.length && asked.labelled ? await this.described(asked.labelled).catch(() => null) : null;
      if (this.closed) return;
      const base = under ?? asked;
      this.view = base;
      this.slices = new Slices(under ? asked.labelled : this.url, base);
      const changed = () => this.labelsChanged();
      if (asked.labels.length) {
        if (!under) this.smooth = false;
        this.labels = [new LabelLayer({ name: this.name, volume: this.url, labels: asked.labels }, asked, changed)];
      } else {
        await this.findLabels(changed);
      }
      if (this.closed) return;
    } catch (error) {
      if (this.closed) return;
      this.stage.replaceChildren(make("p", { class: "quiet", role: "alert" }, error.message));
      return;
    }
    this.at = this.view.shape.slice(0, 3).map((count) => Math.floor(count / 2));
    this.time = 0;
    this.window = [...this.view.window];
    this.build();
    this.update();
  }

  // The geometry of a volume; asked again while the node says that it cannot answer yet.
  async described(url) {
    for (;;) {
      try {
        return await ask(url);
      } catch (error) {
        if (error.status !== 503 || this.closed) throw error;
        this.stage.replaceChildren(make("p", { class: "quiet", role: "status" }, `Loading the volume … ${error.message}`));
        await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    }
  }

  async findLabels(changed) {
    const [base, query] = this.url.split("?");
    const found = await ask(`${base}/labels?${query}`).catch(() => []);
    for (const one of found) {
      const view = await ask(one.volume).catch(() => null);
      if (view) this.labels.push(new LabelLayer(one, view, changed));
    }
  }

  build() {
    this.planes = this.view.planes.map((plane) => new PlaneView(this, plane));
    for (const plane of this.planes) attachPointer(plane);
    this.reading = make("div", { class: "reading mono" });
    this.source = make("div", { class: "reading mono quiet" });
    this.problem = make("div", { class: "why failed-why", role: "alert", hidden: true });
    this.grid = make("div", { class: "viewer" }, ...this.planes.map((plane) => plane.element));
    const [i, j, k, t] = this.view.shape;
    const size = this.view.spacing.map((mm) => mm.toFixed(2)).join(" × ");
    const oblique = this.view.oblique > 0.5
      ? `, oblique by ${this.view.oblique.toFixed(1)}°: letters show the nearest directions` : "";
    this.root = make("div", { class: "viewer-root" }, ...controls(this), this.problem, this.grid,
      make("div", { class: "legends" }, ...this.labels.map((layer) => layer.legend())),
      this.reading, this.source,
      make("div", { class: "quiet small" }, `${i} × ${j} × ${k}${t > 1 ? ` × ${t}` : ""} voxels of ${size} mm${oblique}`),
      make("details", { class: "small" }, make("summary", {}, "Mouse and keyboard"),
        make("dl", {}, ...KEYS.flatMap(([keys, does]) => [make("dt", {}, keys), make("dd", {}, does)]))));
    attachKeys(this);
    this.stage.replaceChildren(this.root);
    this.showOnly(this.only);
    this.readSoon();
  }

  // What a plane needs before it can be painted: the volume and the label maps that are shown.
  layers() { return [this, ...this.shownLabels()]; }

  shownLabels() { return this.labels.filter((layer) => layer.shown); }

  layerKey() { return this.labels.map((layer) => Number(layer.shown)).join(""); }

  // Bring all planes to the numbers that are wanted now; once a frame, however many events come.
  update() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.closed) return;
      for (const plane of this.planes) plane.update();
      this.read();
    });
  }

  redraw() { for (const plane of this.planes) plane.redraw(); }

  repaint() { for (const plane of this.planes) plane.repaint(); }

  labelsChanged() {
    this.repaint();
    this.update();
  }

  report(text) {
    this.problem.hidden = !text;
    this.problem.textContent = text ?? "";
  }

  move(axis, index) {
    this.at[axis] = Math.min(this.view.shape[axis] - 1, Math.max(0, index));
    this.update();
    this.readSoon();
  }

  setTime(time) {
    const times = this.view.shape[3];
    this.time = ((time % times) + times) % times;
    this.timeShown?.();
    this.update();
    this.readSoon();
  }

  // Show one time after the other; the next one only when all planes have painted this one.
  play(on, rate = this.rate ?? 8) {
    this.playing = on && this.view.shape[3] > 1;
    this.rate = rate;
    clearInterval(this.clock);
    this.playShown?.();
    if (!this.playing) return;
    this.clock = setInterval(() => {
      if (this.planes.every((plane) => plane.hidden || plane.isPainted())) this.setTime(this.time + 1);
    }, 1000 / rate);
  }

  setWindow([low, high]) {
    if (Number.isFinite(low) && Number.isFinite(high) && low < high) {
      this.window = [low, high];
      this.repaint();
    }
    this.windowShown?.();
  }

  // Level and width: right is wider, up is brighter.
  dragWindow(x, y) {
    const step = Math.max(1e-9, (this.view.window[1] - this.view.window[0]) / 300);
    this.changeWindow(y * step, x * step);
  }

  changeWindow(level, width) {
    const [low, high] = this.window;
    const smallest = (this.view.window[1] - this.view.window[0]) / 1000;
    const wide = Math.max(smallest, high - low + width);
    const centre = (low + high) / 2 + level;
    this.setWindow([centre - wide / 2, centre + wide / 2]);
  }

  setCross(plane, place) {
    const voxel = plane.voxel(place).map(Math.round);
    for (const axis of [plane.across, plane.up]) this.at[axis] = Math.min(this.view.shape[axis] - 1, Math.max(0, voxel[axis]));
    this.hovered = null;
    this.update();
    this.readSoon();
  }

  beginMeasure(plane, place) {
    const made = { axis: plane.axis, index: plane.painted?.index ?? this.at[plane.axis], from: place, to: place };
    this.measures.push(made);
    return made;
  }

  moveMeasure(measure, place) {
    measure.to = place;
    this.redraw();
  }

  endMeasure(measure, moved) {
    if (moved < 3) this.measures = this.measures.filter((one) => one !== measure);
    this.redraw();
  }

  // The length of a measure in mm, by the affine.
  length(plane, { index, from, to }) {
    const [first, second] = [this.ras(plane.voxel(from, index)), this.ras(plane.voxel(to, index))];
    return Math.hypot(...first.map((mm, axis) => mm - second[axis]));
  }

  ras([i, j, k]) { return this.view.affine.slice(0, 3).map((row) => row[0] * i + row[1] * j + row[2] * k + row[3]); }

  showOnly(name) {
    this.only = name;
    this.grid.classList.toggle("single", Boolean(name));
    for (const plane of this.planes) {
      plane.hidden = Boolean(name) && plane.name !== name;
      plane.element.hidden = plane.hidden;
    }
    this.onlyShown?.();
    this.update();
  }

  reset() {
    this.measures = [];
    for (const plane of this.planes) plane.reset();
    this.setWindow([...this.view.window]);
    this.redraw();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen?.().catch(() => {});
  }

  // The voxel under the mouse, from the numbers of the slice that is in the picture.
  hover(plane, place) {
    this.hovered = plane && { plane, place };
    this.read();
  }

  readSoon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.readSource(), 250);
  }

  read() {
    const { hovered } = this;
    let voxel = [...this.at];
    let plane = this.planes.find((one) => !one.hidden);
    let picture = { column: plane.width - voxel[plane.across] - 1, row: plane.height - voxel[plane.up] - 1 };
    if (hovered?.plane.painted) {
      plane = hovered.plane;
      picture = { column: Math.floor(hovered.place.column), row: Math.floor(hovered.place.row) };
      if (picture.column < 0 || picture.row < 0 || picture.column >= plane.width || picture.row >= plane.height) return;
      voxel = plane.voxel({ column: picture.column + 0.5, row: picture.row + 0.5 }).map(Math.round);
    }
    const time = hovered?.plane.painted?.time ?? this.time;
    const here = (slices) => slices.value(plane.axis, voxel[plane.axis], time, picture.column, picture.row);
    const values = here(this.slices);
    const names = this.shownLabels().map((layer) => layer.nameOf(here(layer.slices)?.[0])).filter(Boolean);
    const said = values ? values.map((one) => (Number.isNaN(one) ? "not a number" : tidy(one))).join(", ") : "…";
    const mm = this.ras(voxel).map((one) => one.toFixed(1)).join(", ");
    this.reading.textContent = `voxel (${voxel.join(", ")}) = ${said}   R A S (${mm}) mm${names.length ? `   ${names.join(", ")}` : ""}`;
  }

  // The instance that the voxel at the cross-hair came from.
  async readSource() {
    if (this.closed) return;
    if (!this.hovered) this.read();
    const [i, j, k] = this.at;
    const { base, query } = this.slices;
    const found = await ask(`${base}/voxel?i=${i}&j=${j}&k=${k}&time=${this.time}&${query}`).catch(() => null);
    if (this.at.join() === [i, j, k].join()) this.source.textContent = found?.source ? `cross-hair from instance ${found.source}` : "";
  }
}
