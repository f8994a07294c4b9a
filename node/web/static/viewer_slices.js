// The numbers of the slices of one volume: fetched once, kept up to a bound.

const TYPES = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
  uint32: Uint32Array, float32: Float32Array, float64: Float64Array, rgb: Uint8Array,
};
const KEPT_BYTES = 128 * 2 ** 20;

export class Slices {
  constructor(url, view) {
    [this.base, this.query] = url.split("?");
    this.view = view;
    this.kept = new Map(); // the slice that was used last comes last
    this.bytes = 0;
    this.loading = new Map(); // what is on its way: {axis, request, done}
  }

  place(axis, index, time) { return `axis=${axis}&index=${index}&time=${Math.min(time, this.view.shape[3] - 1)}`; }

  held(axis, index, time) {
    const place = this.place(axis, index, time);
    const values = this.kept.get(place);
    if (values) {
      this.kept.delete(place);
      this.kept.set(place, values);
    }
    return values;
  }

  // Fetch a slice; one that is on its way already is not asked for again.
  load(axis, index, time) {
    const place = this.place(axis, index, time);
    if (this.kept.has(place)) return Promise.resolve();
    if (!this.loading.has(place)) {
      const request = new AbortController();
      const done = this.fetch(place, request.signal).finally(() => {
        if (this.loading.get(place)?.request === request) this.loading.delete(place);
      });
      this.loading.set(place, { axis, request, done });
    }
    return this.loading.get(place).done;
  }

  // Abort the requests of an axis that are not needed any more.
  drop(axis, needed) {
    const places = new Set(needed.map(({ index, time }) => this.place(axis, index, time)));
    for (const [place, one] of this.loading) {
      if (one.axis === axis && !places.has(place)) {
        this.loading.delete(place);
        one.request.abort();
      }
    }
  }

  async fetch(place, signal) {
    const answer = await fetch(`${this.base}/values?${place}&${this.query}`, { signal });
    if (!answer.ok) {
      const body = await answer.json().catch(() => ({}));
      const text = answer.status === 409 ? "There is a newer revision of this volume: reload the page."
        : body.detail ?? `The node answered with HTTP status ${answer.status}.`;
      throw Object.assign(new Error(text), { status: answer.status });
    }
    this.keep(place, new TYPES[this.view.values](await answer.arrayBuffer()));
  }

  keep(place, values) {
    if (this.kept.has(place)) return;
    this.kept.set(place, values);
    this.bytes += values.byteLength;
    for (const [oldest, others] of this.kept) {
      if (this.bytes <= KEPT_BYTES || oldest === place) break;
      this.kept.delete(oldest);
      this.bytes -= others.byteLength;
    }
  }

  // The value at a column and row of a held slice; undefined if it is not held.
  value(axis, index, time, column, row) {
    const values = this.held(axis, index, time);
    if (!values) return undefined;
    const { width } = this.view.planes.find((plane) => plane.axis === axis);
    const at = row * width + column;
    if (this.view.values === "rgb") return Array.from(values.subarray(3 * at, 3 * at + 3));
    return [values[at] * this.view.slope + this.view.intercept];
  }
}

// Numbers as grey levels, as the node draws them, into the pixels of an ImageData.
export function paintGrey(pixels, values, view, [low, high]) {
  if (view.values === "rgb") {
    for (let from = 0, to = 0; from < values.length; from += 3, to += 4) {
      pixels[to] = values[from];
      pixels[to + 1] = values[from + 1];
      pixels[to + 2] = values[from + 2];
      pixels[to + 3] = 255;
    }
    return;
  }
  const factor = (255 * view.slope) / (high - low);
  const offset = (255 * (view.intercept - low)) / (high - low);
  const words = new Uint32Array(pixels.buffer);
  for (let at = 0; at < values.length; at++) {
    const level = values[at] * factor + offset;
    const grey = level >= 255 ? 255 : level > 0 ? level | 0 : 0; // NaN is black
    words[at] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
}

// Label numbers as colours; what has none in `colours` is transparent.
export function paintLabels(pixels, values, view, colours) {
  const words = new Uint32Array(pixels.buffer);
  for (let at = 0; at < values.length; at++) {
    const stored = values[at];
    words[at] = stored ? colours.get(Math.round(stored * view.slope + view.intercept)) ?? 0 : 0;
  }
}
