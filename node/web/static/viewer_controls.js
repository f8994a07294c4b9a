// The rows of controls above the planes.
import { make } from "./dom.js";

const CT_WINDOWS = { "soft tissue": [40, 400], brain: [40, 80], bone: [500, 2000], lung: [-600, 1500] };
const TOOLS = [["cross", "Cross-hair"], ["window", "Window"], ["pan", "Pan"], ["measure", "Measure"]];

export const tidy = (value) => Number(Number(value).toPrecision(5));

export function controls(viewer) {
  const rows = [make("div", { class: "controls" }, tools(viewer), planes(viewer), ...screen(viewer))];
  const values = [];
  if (viewer.view.shape[3] > 1) values.push(...times(viewer));
  if (!viewer.view.colour) values.push(...windows(viewer));
  if (viewer.labels.length) values.push(opacity(viewer));
  values.push(toggle("Smooth", viewer.smooth, (on) => { viewer.smooth = on; viewer.redraw(); }),
    toggle("Lines", viewer.cross, (on) => { viewer.cross = on; viewer.redraw(); }));
  rows.push(make("div", { class: "controls" }, ...values));
  return rows;
}

function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, name]) => make("button", {
    class: "chip", type: "button", "data-choice": value, onclick: () => choose(value),
  }, name));
  const show = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.choice === chosen()));
  };
  show();
  return [make("div", { class: "choice", role: "group", "aria-label": label }, ...buttons), show];
}

function tools(viewer) {
  const [element, show] = choice("Tool of the mouse", TOOLS, () => viewer.tool, (tool) => viewer.setTool(tool));
  viewer.setTool = (tool) => {
    viewer.tool = tool;
    show();
  };
  return element;
}

function planes(viewer) {
  const options = [["", "All planes"], ...viewer.view.planes.map((plane) => [plane.name, plane.name])];
  const [element, show] = choice("Planes", options, () => viewer.only, (name) => viewer.showOnly(name));
  viewer.onlyShown = show;
  return element;
}

function screen(viewer) {
  return [
    make("button", { class: "chip", type: "button", onclick: () => viewer.reset() }, "Reset"),
    make("button", { class: "chip", type: "button", onclick: () => viewer.fullScreen() }, "Full screen"),
  ];
}

function times(viewer) {
  const count = viewer.view.shape[3];
  const { repetition } = viewer.view;
  const output = make("output");
  const slider = make("input", {
    type: "range", min: 0, max: count - 1, value: 0, "aria-label": "Time point",
    oninput: (event) => viewer.setTime(Number(event.target.value)),
  });
  viewer.timeShown = () => {
    slider.value = viewer.time;
    const seconds = repetition ? ` (${(viewer.time * repetition).toFixed(1)} s)` : "";
    output.textContent = `${viewer.time + 1} / ${count}${seconds}`;
  };
  viewer.timeShown();
  const button = make("button", { class: "chip", type: "button", onclick: () => viewer.play(!viewer.playing) });
  viewer.playShown = () => {
    button.textContent = viewer.playing ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(viewer.playing));
  };
  viewer.playShown();
  const rate = make("select", { "aria-label": "Time points a second", onchange: (event) => viewer.play(viewer.playing, Number(event.target.value)) },
    ...[2, 4, 8, 15, 25].map((one) => make("option", { value: one, selected: one === 8 }, `${one} / s`)));
  return [make("label", {}, "Time", slider, output), button, rate];
}

function windows(viewer) {
  const field = (place) => make("input", {
    type: "number", step: "any", "aria-label": place ? "White" : "Black",
    onchange: (event) => viewer.setWindow(place ? [viewer.window[0], Number(event.target.value)]
      : [Number(event.target.value), viewer.window[1]]),
  });
  const fields = [field(0), field(1)];
  viewer.windowShown = () => fields.forEach((one, place) => { one.value = tidy(viewer.window[place]); });
  viewer.windowShown();
  const presets = viewer.view.modality === "CT" ? Object.entries(CT_WINDOWS) : [];
  return [make("label", {}, "Black", fields[0]), make("label", {}, "White", fields[1]),
    ...presets.map(([name, [level, width]]) => make("button", {
      class: "chip", type: "button", onclick: () => viewer.setWindow([level - width / 2, level + width / 2]),
    }, name))];
}

function opacity(viewer) {
  return make("label", {}, "Labels", make("input", {
    type: "range", min: 0, max: 1, step: 0.05, value: viewer.opacity, "aria-label": "Opacity of labels",
    oninput: (event) => {
      viewer.opacity = Number(event.target.value);
      viewer.redraw();
    },
  }));
}

function toggle(name, on, change) {
  return make("label", {}, make("input", { type: "checkbox", checked: on, onchange: (event) => change(event.target.checked) }), name);
}
