// One plane of the viewer: its canvas, what is painted there, and what is still on its way.
import { make } from "./dom.js";
import { paintGrey, paintLabels } from "./viewer_slices.js";

const PATIENCE_MS = 400; // a request for another slice than the wanted one is aborted after this
const AGAIN_MS = 1000; // after an answer that says to try again
const AHEAD = 4; // slices that are fetched before they are asked for

export class PlaneView {
  constructor(viewer, plane) {
    Object.assign(this, plane);
    [this.across, this.up] = [0, 1, 2].filter((axis) => axis !== plane.axis);
    this.viewer = viewer;
    this.zoom = 1;
    this.pan = { x: 0, y: 0 }; // CSS pixels
    this.painted = null; // {index, time} of what is in the picture
    this.direction = 1;
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `${plane.name} slice` });
    this.output = make("output");
    this.badge = make("div", { class: "badge", hidden: true }, "Loading …");
    this.slider = make("input", {
      type: "range", min: 0, max: plane.slices - 1, "aria-label": `${plane.name} slice number`,
      oninput: (event) => viewer.move(plane.axis, Number(event.target.value)),
    });
    this.element = make("div", { class: "plane", "data-plane": plane.name }, make("div", { class: "picture" }, this.canvas, this.badge),
      make("label", {}, plane.name, this.slider, this.output));
    this.image = make("canvas", { width: plane.width, height: plane.height });
    this.overlays = new Map();
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  get wanted() { return { index: this.viewer.at[this.axis], time: this.viewer.time }; }

  has({ index, time }) {
    return this.viewer.layers().every((layer) => layer.slices.held(this.axis, index, time));
  }

  isPainted() {
    const { index, time } = this.wanted;
    return this.painted?.index === index && this.painted.time === time && this.painted.layers === this.viewer.layerKey();
  }

  // Show the wanted slice: at once if it is here, else mark the plane as pending and fetch it.
  update() {
    const { index, time } = this.wanted;
    this.slider.value = index;
    this.output.textContent = `${index + 1} / ${this.slices}`;
    if (this.painted && index !== this.painted.index) this.direction = Math.sign(index - this.painted.index);
    if (this.hidden) return;
    if (!this.isPainted() && this.has(this.wanted)) this.paint(this.wanted);
    else this.redraw(); // the lines of the other planes have moved
    this.mark();
    if (this.isPainted()) this.lookAhead();
    else this.fetch();
  }

  mark() {
    const pending = !this.isPainted();
    this.element.classList.toggle("pending", pending);
    this.canvas.setAttribute("aria-busy", String(pending));
    this.badge.hidden = !pending;
  }

  async fetch() {
    this.drop();
    if (this.loading) return;
    this.loading = true;
    while (!this.viewer.closed && !this.hidden && !this.isPainted()) {
      const place = this.wanted;
      if (!this.has(place)) await this.load(place);
      // Also a slice that is not the wanted one any more: it moves the picture while scrolling.
      if (this.has(place) && !this.viewer.closed) this.paint(place);
      this.mark();
      if (this.failed) break;
    }
    this.loading = false;
    this.failed = false;
    if (this.isPainted()) this.lookAhead();
  }

  async load(place) {
    this.loads = place;
    let since = 0; // when it was first seen that another slice is wanted
    const patience = setInterval(() => {
      const { index, time } = this.wanted;
      if (index === place.index && time === place.time) since = 0;
      else since ||= Date.now();
      if (this.viewer.closed || (since && Date.now() - since >= PATIENCE_MS)) {
        this.loads = null;
        this.drop();
      }
    }, PATIENCE_MS / 4);
    try {
      await this.loaded(place);
      this.viewer.report(null);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.viewer.report(error.status ? error.message : "The node does not answer. Trying again …");
      this.failed = error.status && error.status !== 503;
      if (!this.failed) await new Promise((done) => setTimeout(done, AGAIN_MS));
    } finally {
      clearInterval(patience);
      this.loads = null;
    }
  }

  loaded({ index, time }) {
    return Promise.all(this.viewer.layers().map((layer) => layer.slices.load(this.axis, index, time)));
  }

  // The next slices in the direction of the last move; when time runs, the next times.
  next() {
    const { index, time } = this.wanted;
    const steps = Array.from({ length: AHEAD }, (_, step) => step + 1);
    if (this.viewer.playing) return steps.map((step) => ({ index, time: (time + step) % this.viewer.view.shape[3] }));
    return steps.map((step) => ({ index: index + step * this.direction, time })).filter((one) => one.index >= 0 && one.index < this.slices);
  }

  // Fetch what is likely to be wanted next.
  lookAhead() {
    this.drop();
    for (const place of this.next()) this.loaded(place).catch(() => {}); // its fault is reported when it is wanted
  }

  // Abort the requests for slices that are neither wanted nor next.
  drop() {
    const needed = this.viewer.closed ? [] : [this.wanted, ...this.next(), ...(this.loads ? [this.loads] : [])];
    for (const layer of this.viewer.layers()) layer.slices.drop(this.axis, needed);
  }

  close() {
    this.drop();
  }

  paint({ index, time }) {
    const { viewer } = this;
    this.render(this.image, (pixels) => paintGrey(pixels, viewer.slices.held(this.axis, index, time), viewer.view, viewer.window));
    for (const layer of viewer.shownLabels()) {
      if (!this.overlays.has(layer)) this.overlays.set(layer, make("canvas", { width: this.width, height: this.height }));
      this.render(this.overlays.get(layer), (pixels) => paintLabels(pixels, layer.slices.held(this.axis, index, time), layer.view, layer.colours));
    }
    this.painted = { index, time, layers: viewer.layerKey() };
    this.draw();
  }

  // Paint the same slice again, with another window or other colours.
  repaint() {
    if (this.painted && this.has(this.painted)) this.paint(this.painted);
  }

  render(canvas, fill) {
    const context = canvas.getContext("2d");
    const data = context.createImageData(this.width, this.height);
    fill(data.data);
    context.putImageData(data, 0, 0);
  }

  // Where the picture is on the canvas, in CSS pixels; voxels have their true proportions.
  box() {
    const [width, height] = [this.width * this.pixel_width, this.height * this.pixel_height];
    const { clientWidth, clientHeight } = this.canvas;
    const scale = Math.min(clientWidth / width, clientHeight / height) * this.zoom;
    return {
      left: (clientWidth - width * scale) / 2 + this.pan.x, top: (clientHeight - height * scale) / 2 + this.pan.y,
      width: width * scale, height: height * scale, scale,
    };
  }

  // From a point of the canvas to columns and rows of the picture, fractions included.
  toPicture(x, y) {
    const box = this.box();
    return { column: (x - box.left) / box.width * this.width, row: (y - box.top) / box.height * this.height };
  }

  toCanvas({ column, row }) {
    const box = this.box();
    return { x: box.left + column / this.width * box.width, y: box.top + row / this.height * box.height };
  }

  // Voxel (i, j, k), fractions included, of a column and row: both axes run to the left and up.
  voxel({ column, row }, index = this.painted?.index ?? this.wanted.index) {
    const found = [0, 0, 0];
    found[this.axis] = index;
    found[this.across] = this.width - 0.5 - column;
    found[this.up] = this.height - 0.5 - row;
    return found;
  }

  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.toPicture(x, y);
    this.zoom = Math.min(40, Math.max(0.5, this.zoom * factor));
    const now = this.toCanvas(before);
    this.pan.x += x - now.x;
    this.pan.y += y - now.y;
    this.redraw();
  }

  reset() {
    this.zoom = 1;
    this.pan = { x: 0, y: 0 };
  }

  // Draw the picture again in the next frame.
  redraw() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = null;
    const { canvas, viewer } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height || !this.painted) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const box = this.box();
    context.imageSmoothingEnabled = viewer.smooth;
    context.drawImage(this.image, box.left, box.top, box.width, box.height);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = viewer.opacity;
    for (const layer of viewer.shownLabels()) {
      if (this.overlays.has(layer)) context.drawImage(this.overlays.get(layer), box.left, box.top, box.width, box.height);
    }
    context.globalAlpha = 1;
    this.drawCross(context, box);
    this.drawMeasures(context);
    this.drawText(context, width, height);
  }

  drawCross(context, box) {
    if (!this.viewer.cross) return;
    const { x, y } = this.toCanvas({ column: this.width - this.viewer.at[this.across] - 0.5, row: this.height - this.viewer.at[this.up] - 0.5 });
    const gap = 10;
    context.strokeStyle = "rgba(108, 178, 255, .65)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [from, to] of [[[x, box.top], [x, y - gap]], [[x, y + gap], [x, box.top + box.height]],
      [[box.left, y], [x - gap, y]], [[x + gap, y], [box.left + box.width, y]]]) {
      context.moveTo(...from);
      context.lineTo(...to);
    }
    context.stroke();
  }

  drawMeasures(context) {
    const here = this.viewer.measures.filter((one) => one.axis === this.axis && one.index === this.painted.index);
    for (const one of here) {
      const [from, to] = [this.toCanvas(one.from), this.toCanvas(one.to)];
      context.strokeStyle = context.fillStyle = "#7dffb0";
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
      for (const end of [from, to]) context.fillRect(end.x - 2.5, end.y - 2.5, 5, 5);
      this.text(context, `${this.viewer.length(this, one).toFixed(1)} mm`, to.x + 8, to.y - 8, "left", "#7dffb0", 13);
    }
  }

  drawText(context, width, height) {
    const { edges, painted, viewer } = this;
    const yellow = "#ffd866";
    this.text(context, edges.left, 12, height / 2, "center", yellow);
    this.text(context, edges.right, width - 12, height / 2, "center", yellow);
    this.text(context, edges.top, width / 2, 13, "center", yellow);
    this.text(context, edges.bottom, width / 2, height - 13, "center", yellow);
    // The numbers of the slice that is in the picture, not of the one that is wanted.
    const times = viewer.view.shape[3];
    this.text(context, `${painted.index + 1}${times > 1 ? `  t ${painted.time + 1}` : ""}`, 8, 13, "left", "#c8d0da", 12);
  }

  text(context, text, x, y, align, colour, size = 16) {
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.fillStyle = colour;
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}
