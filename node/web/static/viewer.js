// Three planes through a volume. The node draws the slices; the viewer shows them in their true
// proportions, with the letters of the patient's directions and the lines of the other planes.
import { ask, make } from "./dom.js";

const CT_WINDOWS = { "soft tissue": [40, 400], brain: [40, 80], bone: [500, 2000], lung: [-600, 1500] };
const SIDE = 512; // canvas pixels
const KEPT = 400; // pictures

export class Viewer {
  constructor(stage, url, modality) {
    this.stage = stage;
    [this.base, this.query] = url.split("?");
    this.modality = modality;
    this.pictures = new Map();
    this.closed = false;
    this.open();
  }

  close() { this.closed = true; }

  async open() {
    this.stage.replaceChildren(make("p", { class: "quiet" }, "Loading the volume …"));
    try {
      this.volume = await ask(`${this.base}?${this.query}`);
    } catch (error) {
      this.stage.replaceChildren(make("p", { class: "quiet" }, error.message));
      return;
    }
    if (this.closed) return;
    this.at = this.volume.shape.slice(0, 3).map((count) => Math.floor(count / 2));
    this.time = 0;
    this.window = [...this.volume.window];
    this.build();
    this.draw();
    this.read();
  }

  build() {
    const volume = this.volume;
    this.planes = volume.planes.map((plane) => this.plane(plane));
    this.reading = make("div", { class: "reading mono", "aria-live": "polite" });
    const controls = [];
    if (volume.shape[3] > 1) {
      const output = make("output", {}, `1 / ${volume.shape[3]}`);
      controls.push(make("label", {}, "Time", make("input", {
        type: "range", min: 0, max: volume.shape[3] - 1, value: 0, "aria-label": "Time point",
        oninput: (event) => {
          this.time = Number(event.target.value);
          const seconds = volume.repetition ? ` (${(this.time * volume.repetition).toFixed(1)} s)` : "";
          output.textContent = `${this.time + 1} / ${volume.shape[3]}${seconds}`;
          this.draw();
          this.read();
        },
      }), output));
    }
    if (!volume.colour) controls.push(...this.windowControls());
    const [i, j, k, t] = volume.shape;
    const size = volume.spacing.map((mm) => mm.toFixed(2)).join(" × ");
    const oblique = volume.oblique > 0.5
      ? `, oblique by ${volume.oblique.toFixed(1)}°: letters show the nearest directions` : "";
    this.stage.replaceChildren(
      make("div", { class: "viewer" }, ...this.planes.map((plane) => plane.element)),
      make("div", { class: "controls" }, ...controls),
      this.reading,
      make("div", { class: "quiet small" }, `${i} × ${j} × ${k}${t > 1 ? ` × ${t}` : ""} voxels of ${size} mm${oblique}`));
  }

  windowControls() {
    const field = (place) => make("input", {
      type: "number", step: "any", value: this.tidy(this.window[place]), "aria-label": place ? "White" : "Black",
      onchange: (event) => this.setWindow(place ? [this.window[0], Number(event.target.value)]
        : [Number(event.target.value), this.window[1]]),
    });
    this.fields = [field(0), field(1)];
    const presets = this.modality === "CT" ? Object.entries(CT_WINDOWS).map(([name, [level, width]]) =>
      make("button", { class: "chip", onclick: () => this.setWindow([level - width / 2, level + width / 2]) }, name)) : [];
    const reset = make("button", { class: "chip", onclick: () => this.setWindow([...this.volume.window]) }, "reset");
    return [make("label", {}, "Black", this.fields[0]), make("label", {}, "White", this.fields[1]), ...presets, reset];
  }

  tidy(value) { return Number(value.toPrecision(5)); }

  setWindow([low, high]) {
    if (low < high) {
      this.window = [low, high];
      this.draw();
    }
    this.fields.forEach((field, place) => { field.value = this.tidy(this.window[place]); });
  }

  plane(plane) {
    const [across, up] = [0, 1, 2].filter((axis) => axis !== plane.axis);
    const canvas = make("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": `${plane.name} slice` });
    const output = make("output");
    const slider = make("input", {
      type: "range", min: 0, max: plane.slices - 1, value: this.at[plane.axis], "aria-label": `${plane.name} slice number`,
      oninput: (event) => this.move(plane.axis, Number(event.target.value)),
    });
    const [width, height] = [plane.width * plane.pixel_width, plane.height * plane.pixel_height];
    const scale = SIDE / Math.max(width, height);
    const box = { width: width * scale, height: height * scale };
    box.left = (SIDE - box.width) / 2;
    box.top = (SIDE - box.height) / 2;
    const made = { ...plane, across, up, canvas, output, slider, box, wanted: null };
    const point = (event) => {
      const frame = canvas.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width * SIDE - box.left) / box.width;
      const y = ((event.clientY - frame.top) / frame.height * SIDE - box.top) / box.height;
      if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
      this.at[across] = plane.width - 1 - Math.floor(x * plane.width);
      this.at[up] = plane.height - 1 - Math.floor(y * plane.height);
      this.draw();
      this.read();
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); point(event); });
    canvas.addEventListener("pointermove", (event) => event.buttons & 1 && point(event));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.move(plane.axis, this.at[plane.axis] + (event.deltaY > 0 ? -1 : 1));
    }, { passive: false });
    made.element = make("div", { class: "plane" }, canvas, make("label", {}, plane.name, slider, output));
    return made;
  }

  move(axis, index) {
    this.at[axis] = Math.min(this.volume.shape[axis] - 1, Math.max(0, index));
    this.draw();
    this.read();
  }

  draw() { for (const plane of this.planes) this.drawPlane(plane); }

  async drawPlane(plane) {
    const index = this.at[plane.axis];
    plane.slider.value = index;
    plane.output.textContent = `${index + 1} / ${plane.slices}`;
    const [low, high] = this.window;
    const url = `${this.base}/slice?axis=${plane.axis}&index=${index}&time=${this.time}&low=${low}&high=${high}&${this.query}`;
    plane.wanted = url;
    try {
      const picture = await this.picture(url);
      if (plane.wanted === url && !this.closed) this.paint(plane, picture);
    } catch (error) {
      this.reading.textContent = error.message;
    }
  }

  picture(url) {
    if (!this.pictures.has(url)) {
      const image = new Image();
      image.src = url;
      this.pictures.set(url, image.decode().then(() => image, () => {
        this.pictures.delete(url);
        throw new Error("A slice could not be loaded. The volume may have a newer revision: reload the page.");
      }));
      if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
    }
    return this.pictures.get(url);
  }

  paint(plane, picture) {
    const { box, edges } = plane;
    const context = plane.canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    context.drawImage(picture, box.left, box.top, box.width, box.height);
    context.strokeStyle = "rgba(108, 178, 255, .55)";
    context.lineWidth = 1;
    const x = box.left + (plane.width - this.at[plane.across] - 0.5) / plane.width * box.width;
    const y = box.top + (plane.height - this.at[plane.up] - 0.5) / plane.height * box.height;
    context.beginPath();
    context.moveTo(x, box.top);
    context.lineTo(x, box.top + box.height);
    context.moveTo(box.left, y);
    context.lineTo(box.left + box.width, y);
    context.stroke();
    context.font = "600 22px system-ui, sans-serif";
    context.fillStyle = "#ffd866";
    context.strokeStyle = "#000";
    context.lineWidth = 4;
    const letters = [[edges.left, 16, SIDE / 2], [edges.right, SIDE - 16, SIDE / 2],
      [edges.top, SIDE / 2, 18], [edges.bottom, SIDE / 2, SIDE - 16]];
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [letter, left, top] of letters) {
      context.strokeText(letter, left, top);
      context.fillText(letter, left, top);
    }
  }

  read() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.readVoxel(), 80);
  }

  async readVoxel() {
    const [i, j, k] = this.at;
    try {
      const found = await ask(`${this.base}/voxel?i=${i}&j=${j}&k=${k}&time=${this.time}&${this.query}`);
      const value = found.value.map((each) => (each === null ? "not a number" : this.tidy(each))).join(", ");
      const ras = found.ras.map((mm) => mm.toFixed(1)).join(", ");
      this.reading.replaceChildren(`voxel (${i}, ${j}, ${k}) = ${value}   R A S (${ras}) mm`,
        ...(found.source ? [make("div", { class: "quiet" }, `from instance ${found.source}`)] : []));
    } catch (error) {
      this.reading.textContent = error.message;
    }
  }
}
