// What is drawn beside the call: the graph of rates, and the keypoints.

const SECONDS_SHOWN = 60;
const AXIS_KBPS = 10; // between two lines of the grid
const EASE = 0.35; // of the way to its place that a keypoint goes with each frame of the screen
const SVG = "http://www.w3.org/2000/svg";

/** kbit/s of the last minute against a steady line. */
export class Graph {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = []; // [seconds, kbit/s]
    this.line = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.points = [];
    this.draw();
  }

  add(seconds, kbps, line) {
    this.line = line;
    this.points.push([seconds, kbps]);
    while (this.points[0][0] < seconds - SECONDS_SHOWN) this.points.shift();
    this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
    if (!width) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
    const [left, bottom, top] = [28, height - 18, 8];
    const most = Math.max(this.line ?? 0, ...points.map((point) => point[1]));
    const step = AXIS_KBPS * Math.max(1, Math.ceil(most / (5 * AXIS_KBPS)));
    const highest = step * Math.max(1, Math.ceil(most / step));
    const y = (kbps) => bottom - (kbps / highest) * (bottom - top);
    const newest = points.length ? points.at(-1)[0] : 0;
    const x = (seconds) => width - ((newest - seconds) / SECONDS_SHOWN) * (width - left);

    context.font = "12px system-ui, sans-serif";
    context.fillStyle = colour("--soft");
    context.strokeStyle = colour("--line");
    context.textAlign = "right";
    for (let kbps = 0; kbps <= highest; kbps += step) {
      context.fillText(kbps, left - 6, y(kbps) + 4);
      context.beginPath();
      context.moveTo(left, y(kbps));
      context.lineTo(width, y(kbps));
      context.stroke();
    }
    context.fillText("now", width, height - 5);
    context.textAlign = "left";
    context.fillText("kbit/s, a minute ago", left, height - 5);
    if (this.line !== null) this.stroke([[left, y(this.line)], [width, y(this.line)]], colour("--theirs"), [6, 5]);
    if (points.length > 1) this.stroke(points.map(([at, kbps]) => [x(at), y(kbps)]), colour("--ours"), []);
  }

  stroke(line, colour, dash) {
    const context = this.canvas.getContext("2d");
    context.beginPath();
    line.forEach(([x, y]) => context.lineTo(x, y));
    context.setLineDash(dash);
    context.lineWidth = 2.5;
    context.lineJoin = "round";
    context.strokeStyle = colour;
    context.stroke();
  }
}

function add(parent, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

function dot(parent, [x, y], radius) {
  return add(parent, "circle", { cx: x, cy: y, r: radius });
}

/** The sources with their keypoints, and the keypoints on their way. */
export class Making {
  constructor(sources, motion) {
    this.sources = sources;
    this.motion = motion;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.clear();
  }

  clear() {
    this.from = this.to = this.at = null;
    this.sources.replaceChildren();
    this.motion.replaceChildren();
  }

  showSources(sources) {
    this.sources.replaceChildren(...sources.map((source, index) => {
      const place = document.createElement("div");
      place.className = "source";
      const picture = new Image();
      picture.src = source.url;
      picture.alt = `Source ${index + 1} of ${sources.length}`;
      place.append(picture);
      const points = add(place, "svg", { viewBox: "-1 -1 2 2", "aria-hidden": "true" });
      source.points.forEach((point) => dot(points, point, 0.022));
      return place;
    }));
    this.from = sources.length ? sources.at(-1).points : null;
    this.build();
  }

  showDriving(points) {
    this.to = points;
    if (this.to && this.from && this.dots.length !== this.to.length) this.build();
    if (!this.moving) this.move();
  }

  build() {
    this.motion.replaceChildren();
    this.at = this.to && this.from && this.to.length === this.from.length ? structuredClone(this.to) : null;
    this.lines = this.at ? this.at.map(() => add(this.motion, "line", {})) : [];
    this.dots = this.at ? this.at.map((point) => dot(this.motion, point, 0.022)) : [];
    if (this.at) this.place();
  }

  /** Goes on until all keypoints are where they belong. */
  move() {
    this.moving = false;
    if (!this.at || !this.to) return;
    const ease = this.still.matches ? 1 : EASE;
    let left = 0;
    this.at.forEach((at, k) => {
      for (const axis of [0, 1]) {
        at[axis] += ease * (this.to[k][axis] - at[axis]);
        left = Math.max(left, Math.abs(this.to[k][axis] - at[axis]));
      }
    });
    this.place();
    if (left > 0.001) {
      this.moving = true;
      requestAnimationFrame(() => this.move());
    }
  }

  place() {
    this.at.forEach(([x, y], k) => {
      const [x1, y1] = this.from[k];
      for (const [key, value] of Object.entries({ x1, y1, x2: x, y2: y })) this.lines[k].setAttribute(key, value);
      this.dots[k].setAttribute("cx", x);
      this.dots[k].setAttribute("cy", y);
    });
  }
}
