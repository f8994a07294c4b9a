// Label maps over a volume: which are shown, in which colours, and their names.
import { make } from "./dom.js";
import { Slices } from "./viewer_slices.js";

// A colour for labels that state none: hues far apart for numbers that follow each other.
function invented(value) {
  const hue = (value * 137.508) % 360;
  const part = (shift) => {
    const at = (shift + hue / 30) % 12;
    return Math.round(255 * (0.55 - 0.45 * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return [part(0), part(8), part(4)];
}

export class LabelLayer {
  constructor(found, view, changed) {
    this.name = found.name;
    this.slices = new Slices(found.volume, view);
    this.view = view;
    this.shown = true;
    this.labels = found.labels.map((label) => ({ ...label, colour: label.colour ?? invented(label.value), shown: true }));
    this.changed = changed;
    this.recolour();
  }

  recolour() {
    this.colours = new Map(this.labels.filter((label) => label.shown).map(({ value, colour: [red, green, blue] }) =>
      [value, (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0]));
  }

  nameOf(value) {
    const label = this.labels.find((one) => one.value === value);
    return label ? label.name || `label ${value}` : null;
  }

  // The list of names, each with a box to show and hide it.
  legend() {
    const title = make("label", { class: "label-map" },
      make("input", { type: "checkbox", checked: true, onchange: (event) => {
        this.shown = event.target.checked;
        this.changed(this);
      } }), this.name);
    return make("fieldset", { class: "legend" }, make("legend", {}, title), ...this.labels.map((label) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = `rgb(${label.colour.join(",")})`;
      return make("label", {}, make("input", { type: "checkbox", checked: true, onchange: (event) => {
        label.shown = event.target.checked;
        this.recolour();
        this.changed(this);
      } }), swatch, label.name || `label ${label.value}`);
    }));
  }
}
