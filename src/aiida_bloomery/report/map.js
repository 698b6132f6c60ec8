// The map of the data set: unpacks what the page carries, draws it, and shows the frame that is pointed at.
(() => {
  const byId = (id) => document.getElementById(id);
  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#7f7f7f", "#999933", "#882255"];
  // Viridis, with a lighter beginning: it has to be seen on dark pages too.
  const VIRIDIS = [[110, 70, 170], [59, 100, 160], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const UNKNOWN = "#b5b5b5";
  const MARGIN = 14;
  const REACH = 24; // px; further from every frame a click means none

  async function unpack(text) {
    const letters = atob(text.trim());
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  function viridis(share) {
    const place = Math.min(0.9999, Math.max(0, share)) * (VIRIDIS.length - 1);
    const low = Math.floor(place);
    const mixed = VIRIDIS[low].map((part, i) => Math.round(part + (place - low) * (VIRIDIS[low + 1][i] - part)));
    return `rgb(${mixed.join(",")})`;
  }

  function told(value) {
    if (value === null || value === undefined) return "";
    return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
  }

  class DataMap {
    constructor(data, blocks) {
      this.data = data;
      this.blocks = blocks;
      this.offsets = [0];
      for (const count of data.counts) this.offsets.push(this.offsets[this.offsets.length - 1] + count);
      this.unpacked = new Map();
      this.canvas = byId("map-canvas");
      this.viewer = new StructureViewer(byId("map-structure"));
      this.frame = null;
      this.columns = new Map(data.columns.map((column) => [column.name, column]));
      this.fillChoices();
      this.canvas.addEventListener("click", (event) => this.pick(event.offsetX, event.offsetY));
      this.canvas.addEventListener("keydown", (event) => this.key(event));
      byId("map-colour").addEventListener("change", () => this.recolour());
      byId("map-frame").addEventListener("change", (event) => this.show(Number(event.target.value)));
      byId("map-before").addEventListener("click", () => this.step(-1));
      byId("map-next").addEventListener("click", () => this.step(1));
      this.linkHashes();
      new ResizeObserver(() => {
        this.draw();
        this.viewer.draw();
      }).observe(byId("map-live"));
    }

    fillChoices() {
      for (const column of this.data.columns) {
        if (!column.colours) continue;
        const option = document.createElement("option");
        option.value = column.name;
        option.textContent = column.title;
        byId("map-colour").append(option);
      }
      byId("map-frame").max = String(this.data.n - 1);
    }

    // Content hashes elsewhere on the page lead to their frame on the map.
    linkHashes() {
      const column = this.columns.get("hash");
      if (!column) return;
      for (const element of document.querySelectorAll("[data-hash]")) {
        const frame = column.values.indexOf(column.words.indexOf(element.dataset.hash));
        if (frame < 0 || !column.words.includes(element.dataset.hash)) continue;
        const link = document.createElement("a");
        link.href = "#map";
        link.textContent = element.textContent;
        link.addEventListener("click", () => this.show(frame));
        element.replaceChildren(link);
      }
    }

    value(name, frame) {
      const column = this.columns.get(name);
      const value = column.values[frame];
      return column.words ? (value < 0 ? null : column.words[value]) : value;
    }

    // -- colours --------------------------------------------------------------------------------------------------

    recolour() {
      const column = this.columns.get(byId("map-colour").value);
      const legend = byId("map-legend");
      legend.replaceChildren();
      const few = column.name === "iteration" && new Set(column.values).size <= PALETTE.length;
      if (column.words || few) this.colours = this.byWord(column, legend);
      else this.colours = this.byNumber(column, legend);
      this.draw();
    }

    byWord(column, legend) {
      const words = column.words || [...new Set(column.values)].sort((a, b) => a - b);
      const place = (value) => (column.words ? value : words.indexOf(value));
      words.forEach((word, i) => this.legendEntry(legend, PALETTE[i % PALETTE.length], told(word)));
      return column.values.map((value) => (place(value) < 0 ? UNKNOWN : PALETTE[place(value) % PALETTE.length]));
    }

    byNumber(column, legend) {
      const scaled = (value) => (column.logarithmic ? Math.log(value) : value);
      const usable = (value) => value !== null && (!column.logarithmic || value > 0);
      const known = column.values.filter(usable);
      const low = known.reduce((least, value) => Math.min(least, value), Infinity);
      const high = known.reduce((most, value) => Math.max(most, value), -Infinity);
      const width = scaled(high) - scaled(low) || 1;
      const bar = document.createElement("span");
      bar.className = "map-bar";
      legend.append(told(low), bar, told(high));
      if (known.length < column.values.length) this.legendEntry(legend, UNKNOWN, "not known");
      return column.values.map((value) =>
        usable(value) ? viridis((scaled(value) - scaled(low)) / width) : UNKNOWN);
    }

    legendEntry(legend, colour, text) {
      const entry = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = colour;
      entry.append(dot, text);
      legend.append(entry);
    }

    // -- map ------------------------------------------------------------------------------------------------------

    place(row) {
      const { x, y } = this.data.map;
      const [width, height] = [this.canvas.clientWidth - 2 * MARGIN, this.canvas.clientHeight - 2 * MARGIN];
      return [MARGIN + (x[row] / 10000) * width, MARGIN + (1 - y[row] / 10000) * height];
    }

    draw() {
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
      if (!width || !this.colours) return;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      const pen = this.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const { frames } = this.data.map;
      const radius = frames.length > 3000 ? 2 : frames.length > 400 ? 3 : 4.5;
      pen.globalAlpha = frames.length > 400 ? 0.75 : 0.9;
      for (let row = 0; row < frames.length; row++) {
        const [x, y] = this.place(row);
        pen.fillStyle = this.colours[frames[row]];
        pen.beginPath();
        pen.arc(x, y, radius, 0, 2 * Math.PI);
        pen.fill();
      }
      pen.globalAlpha = 1;
      const chosen = frames.indexOf(this.frame);
      if (chosen < 0) return;
      const [x, y] = this.place(chosen);
      pen.strokeStyle = getComputedStyle(this.canvas).color;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, radius + 4, 0, 2 * Math.PI);
      pen.stroke();
    }

    // The frame nearest to a point of the canvas, of those that `allowed` lets through.
    nearest(px, py, allowed = () => true) {
      let [best, row] = [Infinity, -1];
      for (let i = 0; i < this.data.map.frames.length; i++) {
        const [x, y] = this.place(i);
        const distance = Math.hypot(x - px, y - py);
        if (distance < best && allowed(x - px, y - py)) [best, row] = [distance, i];
      }
      return [best, row < 0 ? null : this.data.map.frames[row]];
    }

    pick(x, y) {
      const [distance, frame] = this.nearest(x, y);
      if (frame !== null && distance <= REACH) this.show(frame);
    }

    key(event) {
      const ways = {
        ArrowRight: (dx, dy) => dx > Math.abs(dy), ArrowLeft: (dx, dy) => -dx > Math.abs(dy),
        ArrowDown: (dx, dy) => dy > Math.abs(dx), ArrowUp: (dx, dy) => -dy > Math.abs(dx),
      };
      if (event.key === "PageDown") this.step(1);
      else if (event.key === "PageUp") this.step(-1);
      else if (event.key === "Home") this.show(0);
      else if (event.key === "End") this.show(this.data.n - 1);
      else if (ways[event.key]) {
        const row = this.data.map.frames.indexOf(this.frame);
        const [x, y] = row < 0 ? [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2] : this.place(row);
        const [, frame] = this.nearest(x, y, row < 0 ? undefined : ways[event.key]);
        if (frame !== null) this.show(frame);
      } else return;
      event.preventDefault();
    }

    step(by) {
      this.show(this.frame === null ? 0 : (this.frame + by + this.data.n) % this.data.n);
    }

    // -- one frame ------------------------------------------------------------------------------------------------

    async structure(frame) {
      const place = this.data.structure[frame];
      if (place < 0) return null;
      const { block } = this.data;
      const number = Math.floor(place / block);
      if (!this.unpacked.has(number)) this.unpacked.set(number, unpack(this.blocks[number].textContent));
      const content = await this.unpacked.get(number);
      const first = number * block;
      const n = Math.min(block, this.data.counts.length - first);
      const atoms = this.offsets[first + n] - this.offsets[first];
      const meta = new Float32Array(content, 0, 15 * n).subarray(15 * (place - first), 15 * (place - first + 1));
      const [start, count] = [this.offsets[place] - this.offsets[first], this.data.counts[place]];
      const grid = new Uint16Array(content, 60 * n, 3 * atoms).subarray(3 * start, 3 * (start + count));
      const kinds = new Uint8Array(content, 60 * n + 6 * atoms, atoms).subarray(start, start + count);
      const positions = Float64Array.from(grid, (step, i) => meta[9 + (i % 3)] + step * meta[12 + (i % 3)]);
      return { cell: Array.from(meta.subarray(0, 9)), positions, kinds };
    }

    async show(frame) {
      if (!Number.isInteger(frame) || frame < 0 || frame >= this.data.n) return;
      this.frame = frame;
      byId("map-frame").value = String(frame);
      this.tell(frame);
      this.draw();
      const structure = await this.structure(frame);
      if (this.frame !== frame) return;
      this.viewer.show(
        structure || { cell: [], positions: new Float64Array(), kinds: new Uint8Array() }, this.data.elements);
      byId("map-facts").dataset.frame = String(frame);
    }

    tell(frame) {
      const { data } = this;
      const formula = data.formula.words[data.formula.values[frame]];
      const periodic = ["x", "y", "z"].filter((_, axis) => data.pbc[frame] & (1 << axis)).join("");
      const batch = `batch_${String(data.iteration[frame]).padStart(3, "0")}`;
      const left = data.structure[frame] < 0 ? "; its structure is left out, the page would be too large" : "";
      byId("map-name").textContent =
        `Frame ${frame}: ${formula}, ${periodic ? `periodic along ${periodic}` : "not periodic"}${left}`;
      const rows = [["batch", `${batch}, frame ${data.index[frame]}`]];
      for (const column of data.columns) rows.push([column.title, told(this.value(column.name, frame))]);
      const list = byId("map-list");
      list.replaceChildren();
      for (const [title, text] of rows) {
        if (text === "") continue;
        const [row, term, said] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = title;
        said.textContent = text;
        row.append(term, said);
        list.append(row);
      }
      byId("map-command").textContent = `aiida-bloomery lineage ${byId("map-facts").dataset.campaign} --frame ${frame}`;
    }
  }

  async function begin() {
    const packed = byId("map-columns");
    if (!packed || typeof DecompressionStream === "undefined") return null;
    const data = JSON.parse(new TextDecoder().decode(await unpack(packed.textContent)));
    const map = new DataMap(data, document.querySelectorAll("script.map-block"));
    byId("map-static").hidden = true;
    byId("map-live").hidden = false;
    map.recolour();
    await map.show(data.map.frames.length ? data.map.frames[0] : 0);
    return map;
  }

  window.bloomeryMap = new Promise((done) => {
    window.addEventListener("load", () => setTimeout(() => done(begin()), 0));
  });
})();
