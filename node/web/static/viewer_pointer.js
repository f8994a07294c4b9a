// Mouse, touch and pen on a plane.
//
// Left button and pen: the chosen tool. Right button: window. Middle button, or Shift: pan.
// Wheel: slices; with Ctrl: zoom. One finger: slices, or the chosen tool if that is window, pan or
// measure; a tap sets the cross-hair. Two fingers: zoom and pan.

const SLICE_PIXELS = 8; // that a finger moves for one slice
const TAP_PIXELS = 6;

export function attachPointer(plane) {
  new Pointer(plane);
}

class Pointer {
  constructor(plane) {
    this.plane = plane;
    this.viewer = plane.viewer;
    this.down = new Map(); // pointers that are down: id -> {x, y}
    this.drag = null;
    const { canvas } = plane;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.end(event));
    canvas.addEventListener("pointerleave", () => this.viewer.hover(null));
    canvas.addEventListener("dblclick", () => this.viewer.showOnly(this.viewer.only === plane.name ? "" : plane.name));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  at(event) {
    const frame = this.plane.canvas.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  }

  tool(event) {
    if (event.pointerType === "touch" && this.viewer.tool === "cross") return "scroll";
    if (event.pointerType === "mouse" && event.button === 2) return "window";
    if (event.pointerType === "mouse" && (event.button === 1 || event.shiftKey)) return "pan";
    return this.viewer.tool;
  }

  begin(event) {
    const point = this.at(event);
    this.down.set(event.pointerId, point);
    try {
      this.plane.canvas.setPointerCapture(event.pointerId);
    } catch { /* the pointer has gone up already */ }
    this.plane.canvas.focus({ preventScroll: true });
    event.preventDefault();
    if (this.down.size === 2) {
      this.drag = null;
      this.pinch = this.spread();
      return;
    }
    this.drag = { tool: this.tool(event), from: point, last: point, index: this.viewer.at[this.plane.axis], moved: 0 };
    if (this.drag.tool === "cross") this.viewer.setCross(this.plane, this.plane.toPicture(point.x, point.y));
    if (this.drag.tool === "measure") {
      const place = this.plane.toPicture(point.x, point.y);
      this.drag.measure = this.viewer.beginMeasure(this.plane, place);
    }
  }

  move(event) {
    const point = this.at(event);
    if (event.pointerType !== "touch") this.viewer.hover(this.plane, this.plane.toPicture(point.x, point.y));
    if (!this.down.has(event.pointerId)) return;
    this.down.set(event.pointerId, point);
    if (this.down.size === 2) {
      this.pinching();
      return;
    }
    const { drag } = this;
    if (!drag) return;
    const [x, y] = [point.x - drag.last.x, point.y - drag.last.y];
    drag.moved = Math.max(drag.moved, Math.hypot(point.x - drag.from.x, point.y - drag.from.y));
    drag.last = point;
    if (drag.tool === "cross") this.viewer.setCross(this.plane, this.plane.toPicture(point.x, point.y));
    if (drag.tool === "window") this.viewer.dragWindow(x, y);
    if (drag.tool === "pan") this.pan(x, y);
    if (drag.tool === "measure") this.viewer.moveMeasure(drag.measure, this.plane.toPicture(point.x, point.y));
    if (drag.tool === "scroll") {
      const steps = Math.trunc((drag.from.y - point.y) / SLICE_PIXELS);
      this.viewer.move(this.plane.axis, drag.index + steps);
    }
  }

  end(event) {
    const { drag } = this;
    this.down.delete(event.pointerId);
    this.pinch = null;
    this.drag = null;
    if (!drag) return;
    if (drag.tool === "scroll" && drag.moved < TAP_PIXELS && event.type === "pointerup") {
      this.viewer.setCross(this.plane, this.plane.toPicture(drag.from.x, drag.from.y));
    }
    if (drag.tool === "measure") this.viewer.endMeasure(drag.measure, drag.moved);
  }

  pan(x, y) {
    this.plane.pan.x += x;
    this.plane.pan.y += y;
    this.plane.redraw();
  }

  spread() {
    const [first, second] = [...this.down.values()];
    return {
      distance: Math.max(1, Math.hypot(first.x - second.x, first.y - second.y)),
      x: (first.x + second.x) / 2, y: (first.y + second.y) / 2,
    };
  }

  pinching() {
    const now = this.spread();
    if (this.pinch) {
      this.pan(now.x - this.pinch.x, now.y - this.pinch.y);
      this.plane.zoomBy(now.distance / this.pinch.distance, now.x, now.y);
    }
    this.pinch = now;
  }

  wheel(event) {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      const { x, y } = this.at(event);
      this.plane.zoomBy(event.deltaY > 0 ? 1 / 1.15 : 1.15, x, y);
    } else if (event.deltaY) {
      this.viewer.move(this.plane.axis, this.viewer.at[this.plane.axis] + (event.deltaY > 0 ? -1 : 1));
    }
  }
}
