"use strict";
// A structure on a canvas: balls, sticks and the cell; drag to turn, wheel or pinch to come closer, arrow keys to turn.
class StructureViewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.structure = null;
    this.zoom = 1;
    this.turn = StructureViewer.rotation(-0.35, 0.45);
    this.pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.closer(Math.exp(-event.deltaY / 500));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  static rotation(x, y) {
    const [cx, sx, cy, sy] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
    return [cy, 0, sy, sx * sy, cx, -sx * cy, -cx * sy, sx, cx * cy];
  }

  static product(a, b) {
    const found = [];
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 3; j++) found.push(a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j]);
    return found;
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    if (others.length) {
      const far = (point) => Math.hypot(point.clientX - others[0].clientX, point.clientY - others[0].clientY);
      this.closer(far(event) / Math.max(1, far(before)));
    } else {
      this.rotate((event.clientY - before.clientY) / 120, (event.clientX - before.clientX) / 120);
    }
    this.pointers.set(event.pointerId, event);
  }

  key(event) {
    const step = 0.15;
    const turns = {
      ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step],
    };
    if (turns[event.key]) this.rotate(...turns[event.key]);
    else if (event.key === "+") this.closer(1.15);
    else if (event.key === "-") this.closer(1 / 1.15);
    else return;
    event.preventDefault();
  }

  rotate(x, y) {
    this.turn = StructureViewer.product(StructureViewer.rotation(x, y), this.turn);
    this.draw();
  }

  closer(factor) {
    this.zoom = Math.min(20, Math.max(0.2, this.zoom * factor));
    this.draw();
  }

  // positions: 3 numbers an atom; kinds: place in elements; cell: 9 numbers, zero where there is none.
  show(structure, elements) {
    this.structure = structure;
    this.elements = elements;
    this.zoom = 1;
    const corners = StructureViewer.corners(structure.cell);
    const points = [...corners];
    for (let i = 0; i < structure.kinds.length; i++) points.push(structure.positions.subarray(3 * i, 3 * i + 3));
    const low = [0, 1, 2].map((axis) => points.reduce((least, point) => Math.min(least, point[axis]), Infinity));
    const high = [0, 1, 2].map((axis) => points.reduce((most, point) => Math.max(most, point[axis]), -Infinity));
    this.centre = [0, 1, 2].map((axis) => (points.length ? (low[axis] + high[axis]) / 2 : 0));
    this.extent = Math.max(2.5, points.length ? Math.hypot(...[0, 1, 2].map((axis) => high[axis] - low[axis])) : 0);
    this.corners = corners;
    this.bonds = StructureViewer.bonds(structure, elements);
    this.draw();
  }

  static corners(cell) {
    if (!cell.some((value) => value !== 0)) return [];
    const found = [];
    for (let corner = 0; corner < 8; corner++)
      found.push([0, 1, 2].map((axis) =>
        (corner & 1) * cell[axis] + ((corner >> 1) & 1) * cell[3 + axis] + ((corner >> 2) & 1) * cell[6 + axis]));
    return found;
  }

  // Atoms closer than 1.2 times the sum of their covalent radii, inside the cell.
  static bonds({ positions, kinds }, elements) {
    const order = [...kinds.keys()].sort((i, j) => positions[3 * i] - positions[3 * j]);
    const widest = 2.4 * Math.max(0, ...elements.map((element) => element.radius));
    const found = [];
    for (let a = 0; a < order.length; a++) {
      const i = order[a];
      for (let b = a + 1; b < order.length && positions[3 * order[b]] - positions[3 * i] < widest; b++) {
        const j = order[b];
        const reach = 1.2 * (elements[kinds[i]].radius + elements[kinds[j]].radius);
        const [dx, dy, dz] = [0, 1, 2].map((axis) => positions[3 * i + axis] - positions[3 * j + axis]);
        if (dx * dx + dy * dy + dz * dz < reach * reach) found.push([i, j]);
      }
    }
    return found;
  }

  project(point) {
    const [x, y, z] = [0, 1, 2].map((axis) => point[axis] - this.centre[axis]);
    const t = this.turn;
    return [
      this.middle[0] + this.scale * (t[0] * x + t[1] * y + t[2] * z),
      this.middle[1] - this.scale * (t[3] * x + t[4] * y + t[5] * z),
      t[6] * x + t[7] * y + t[8] * z,
    ];
  }

  draw() {
    const { canvas, structure } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    if (!structure) return;
    this.middle = [width / 2, height / 2];
    this.scale = (this.zoom * 0.92 * Math.min(width, height)) / this.extent;
    this.drawCell(pen);
    const places = [...structure.kinds.keys()].map((i) =>
      this.project(structure.positions.subarray(3 * i, 3 * i + 3)));
    const items = places.map((place, i) => [place[2], i]);
    this.bonds.forEach((bond, k) => items.push([(places[bond[0]][2] + places[bond[1]][2]) / 2 - 0.01, -1 - k]));
    items.sort((one, other) => one[0] - other[0]);
    for (const [depth, item] of items) {
      const faint = 0.55 + 0.45 * Math.min(1, Math.max(0, depth / this.extent + 0.5));
      if (item < 0) this.drawBond(pen, this.bonds[-1 - item], places, faint);
      else this.drawAtom(pen, places[item], this.elements[structure.kinds[item]], faint, places.length < 1500);
    }
  }

  drawCell(pen) {
    pen.strokeStyle = getComputedStyle(this.canvas).color;
    pen.globalAlpha = 0.45;
    pen.lineWidth = 1;
    for (let one = 0; one < this.corners.length; one++)
      for (const bit of [1, 2, 4]) {
        if (one & bit) continue;
        const [start, end] = [this.project(this.corners[one]), this.project(this.corners[one | bit])];
        pen.beginPath();
        pen.moveTo(start[0], start[1]);
        pen.lineTo(end[0], end[1]);
        pen.stroke();
      }
    pen.globalAlpha = 1;
  }

  drawBond(pen, [i, j], places, faint) {
    const half = [(places[i][0] + places[j][0]) / 2, (places[i][1] + places[j][1]) / 2];
    pen.lineWidth = Math.max(1.5, 0.16 * this.scale);
    for (const end of [i, j]) {
      pen.strokeStyle = StructureViewer.shade(this.elements[this.structure.kinds[end]].colour, 0.8 * faint);
      pen.beginPath();
      pen.moveTo(places[end][0], places[end][1]);
      pen.lineTo(half[0], half[1]);
      pen.stroke();
    }
  }

  drawAtom(pen, [x, y], element, faint, fine) {
    const radius = Math.max(1.5, 0.42 * element.radius * this.scale);
    if (fine) {
      const light = pen.createRadialGradient(x - radius / 3, y - radius / 3, radius / 10, x, y, radius);
      light.addColorStop(0, StructureViewer.shade(element.colour, 1.35 * faint));
      light.addColorStop(1, StructureViewer.shade(element.colour, 0.62 * faint));
      pen.fillStyle = light;
    } else pen.fillStyle = StructureViewer.shade(element.colour, 0.9 * faint);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
    pen.strokeStyle = StructureViewer.shade(element.colour, 0.4);
    pen.lineWidth = 0.6;
    pen.stroke();
  }

  static shade(colour, factor) {
    return `rgb(${colour.map((part) => Math.min(255, Math.round(part * factor))).join(",")})`;
  }
}
