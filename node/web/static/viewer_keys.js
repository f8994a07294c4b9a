// The keyboard. Keys act on the plane that has the focus, else on the first one that is shown.

const SLICES = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
const PAN = { ArrowUp: [0, -20], ArrowDown: [0, 20], ArrowLeft: [-20, 0], ArrowRight: [20, 0] };
const TOOLS = { 1: "cross", 2: "window", 3: "pan", 4: "measure" };
const TYPED = "input[type=number], select, textarea";

export const KEYS = [
  ["Wheel, ↑ ↓", "next and previous slice; Page Up and Down: ten slices; Home and End: first and last"],
  ["← →", "previous and next time point"],
  ["Space", "play and pause"],
  ["w, Shift+w", "wider and narrower window; mouse: right button, to the side"],
  ["l, Shift+l", "higher and lower level; mouse: right button, up and down"],
  ["+ −", "zoom; mouse: Ctrl and wheel; touch: two fingers"],
  ["Shift + arrows", "pan; mouse: middle button"],
  ["i j k, Shift", "move the cross-hair by one voxel along an axis, and back"],
  ["m", "begin and end a distance at the cross-hair; Escape removes distances"],
  ["1 2 3 4", "tool of the mouse: cross-hair, window, pan, measure"],
  ["Double click, e", "one plane alone, and all again"],
  ["f", "full screen"],
  ["0", "reset window, zoom and distances"],
];

export function attachKeys(viewer) {
  viewer.root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(TYPED)) return;
    const range = event.target.matches("input[type=range]");
    if (range && event.key.startsWith("Arrow")) return; // the slider itself
    if (event.key === " " && event.target.matches("button, input[type=checkbox], summary")) return;
    if (pressed(viewer, event)) event.preventDefault();
  });
}

function pressed(viewer, event) {
  const plane = viewer.planes.find((one) => one.element.contains(event.target) && !one.hidden)
    ?? viewer.planes.find((one) => !one.hidden);
  const { key, shiftKey } = event;
  if (shiftKey && PAN[key]) {
    plane.pan.x += PAN[key][0];
    plane.pan.y += PAN[key][1];
    plane.redraw();
    return true;
  }
  if (SLICES[key]) {
    viewer.move(plane.axis, viewer.at[plane.axis] + SLICES[key]);
    return true;
  }
  if (TOOLS[key]) {
    viewer.setTool(TOOLS[key]);
    return true;
  }
  const axis = "ijk".indexOf(key.toLowerCase());
  if (axis >= 0 && key.length === 1) {
    viewer.move(axis, viewer.at[axis] + (shiftKey ? -1 : 1));
    return true;
  }
  return command(viewer, plane, key);
}

function command(viewer, plane, key) {
  const width = (viewer.window[1] - viewer.window[0]) / 20;
  const commands = {
    ArrowLeft: () => viewer.setTime(viewer.time - 1),
    ArrowRight: () => viewer.setTime(viewer.time + 1),
    " ": () => viewer.play(!viewer.playing),
    w: () => viewer.changeWindow(0, width),
    W: () => viewer.changeWindow(0, -width),
    l: () => viewer.changeWindow(width, 0),
    L: () => viewer.changeWindow(-width, 0),
    "+": () => plane.zoomBy(1.2),
    "=": () => plane.zoomBy(1.2),
    "-": () => plane.zoomBy(1 / 1.2),
    0: () => viewer.reset(),
    f: () => viewer.fullScreen(),
    e: () => viewer.showOnly(viewer.only ? "" : plane.name),
    m: () => measure(viewer, plane),
    Escape: () => {
      viewer.measures = [];
      viewer.begun = null;
      viewer.redraw();
    },
  };
  if (!commands[key]) return false;
  commands[key]();
  return true;
}

function measure(viewer, plane) {
  const place = { column: plane.width - viewer.at[plane.across] - 0.5, row: plane.height - viewer.at[plane.up] - 0.5 };
  if (viewer.begun) {
    viewer.moveMeasure(viewer.begun, place);
    viewer.begun = null;
  } else {
    viewer.begun = viewer.beginMeasure(plane, place);
    viewer.redraw();
  }
}
