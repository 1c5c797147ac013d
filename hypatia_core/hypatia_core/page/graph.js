// Two panes with a program each: drawing, moving, zooming, search, details.
class Pane {
  constructor(holder, program, other) {
    this.holder = holder;
    this.program = program;
    this.other = other;
    this.unfolded = false;
    this.kept = null;
    this.draw();
  }

  draw() {
    this.drawing = layout(this.program, this.unfolded);
    this.groups = new Map();
    this.total = Math.max(...this.program.nodes.map(spent), 1e-12);
    this.svg = draw("svg", { role: "img" });
    this.scene = draw("g");
    this.svg.append(this.scene);
    const lines = draw("g"), boxes = draw("g");
    for (const { fold, members } of this.drawing.frames) if (members.length) lines.append(...this.frame(fold, members));
    this.lines = this.drawing.edges.map((points) => {
      const line = draw("path", { class: "edge", d: curve(points) });
      lines.append(line);
      return { line, from: points[0].id, to: points[points.length - 1].id };
    });
    for (const v of this.drawing.vertices) boxes.append(this.box(v));
    this.scene.append(lines, boxes);
    this.holder.replaceChildren(this.svg);
    this.bindPointer();
    const xs = this.drawing.vertices.flatMap((v) => [v.x - v.width / 2, v.x + v.width / 2]);
    const ys = this.drawing.vertices.flatMap((v) => [v.y - v.height / 2, v.y + v.height / 2]);
    this.bounds = [Math.min(...xs) - 30, Math.min(...ys) - 40, Math.max(...xs) + 30, Math.max(...ys) + 30];
    this.begin();
  }

  frame(fold, members) {
    const left = Math.min(...members.map((v) => v.x - v.width / 2)) - 16;
    const right = Math.max(...members.map((v) => v.x + v.width / 2)) + 16;
    const top = Math.min(...members.map((v) => v.y - v.height / 2)) - 9;
    const bottom = Math.max(...members.map((v) => v.y + v.height / 2)) + 9;
    const title = draw("text", { class: "frame-title", x: left + 4, y: top - 5 });
    title.textContent = `× ${fold.count}`;
    return [draw("rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top }), title];
  }

  box(v) {
    const kind = [v.node.fate !== "kept" ? v.node.fate : "", v.small ? "view" : "", v.node.op].join(" ");
    const group = draw("g", { class: `node ${kind}`, transform: `translate(${v.x - v.width / 2},${v.y - v.height / 2})` });
    group.append(draw("rect", { class: "body", width: v.width, height: v.height, rx: v.small ? 11 : 6 }));
    const label = draw("text", { x: v.width / 2, y: v.type ? 17 : v.height / 2 + 4.5 });
    label.textContent = v.label;
    group.append(label);
    if (v.type) {
      const type = draw("text", { class: "type", x: v.width / 2, y: 31 });
      type.textContent = v.type;
      group.append(type);
    }
    const share = spent(v.node) / this.total;
    if (share > 0.03) group.append(draw("rect", { class: "heat", x: 5, y: v.height - 4, width: (v.width - 10) * share, height: 3 }));
    group.addEventListener("pointerenter", (event) => { this.near(v.id, true); tip(event, facts(v.node, v.weights)); });
    group.addEventListener("pointermove", (event) => tip(event));
    group.addEventListener("pointerleave", () => { this.near(v.id, false); tip(null); });
    group.addEventListener("click", () => select(this, v.id));
    this.groups.set(v.id, group);
    v.group = group;
    return group;
  }

  near(id, on) {
    for (const { line, from, to } of this.lines) if (from === id || to === id) line.classList.toggle("near", on);
  }

  bindPointer() {
    let last = null;
    this.svg.addEventListener("pointerdown", (event) => { last = [event.clientX, event.clientY]; });
    this.svg.addEventListener("pointermove", (event) => {
      if (!last || !(event.buttons & 1)) return;
      this.move(event.clientX - last[0], event.clientY - last[1]);
      last = [event.clientX, event.clientY];
    });
    this.svg.addEventListener("pointerup", () => { last = null; });
    this.svg.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const box = this.svg.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      } else if (document.activeElement === this.holder) {
        event.preventDefault();
        this.move(-event.deltaX, -event.deltaY);
      }
    }, { passive: false });
  }

  move(dx, dy) { this.x += dx; this.y += dy; this.apply(); }

  zoom(factor, x = this.holder.clientWidth / 2, y = this.holder.clientHeight / 2) {
    const scale = Math.min(3, Math.max(0.03, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.apply();
  }

  /** As wide as the pane, from the first change on. */
  begin() {
    const [left, top, right] = this.bounds;
    const width = this.holder.clientWidth || 600;
    this.scale = Math.min(1, Math.max(0.74, width / (right - left)));
    const changed = this.drawing.vertices.filter((v) => v.node.fate !== "kept").sort((a, b) => a.y - b.y)[0];
    const focus = changed ?? this.drawing.vertices.find((v) => v.row === 0);
    this.x = width / 2 - ((left + right) / 2) * this.scale;
    if ((right - left) * this.scale > width && focus) this.x = Math.max(width - right * this.scale, Math.min(-left * this.scale, width / 2 - focus.x * this.scale));
    this.y = -top * this.scale;
    if (changed && changed.y * this.scale > this.holder.clientHeight / 2) this.y = 120 - changed.y * this.scale;
    this.apply();
  }

  fit() {
    const [left, top, right, bottom] = this.bounds;
    this.scale = Math.min(1.4, this.holder.clientWidth / (right - left), this.holder.clientHeight / (bottom - top));
    this.x = this.holder.clientWidth / 2 - ((left + right) / 2) * this.scale;
    this.y = this.holder.clientHeight / 2 - ((top + bottom) / 2) * this.scale;
    this.apply();
  }

  apply() { this.scene.setAttribute("transform", `translate(${this.x},${this.y}) scale(${this.scale})`); }

  show(id) {
    const v = this.drawing.vertices.find((vertex) => vertex.id === this.drawing.representative(id));
    if (!v) return false;
    this.scale = Math.max(this.scale, 0.8);
    this.x = this.holder.clientWidth / 2 - v.x * this.scale;
    this.y = this.holder.clientHeight / 2 - v.y * this.scale;
    this.apply();
    return true;
  }

  mark(ids, kind) {
    for (const group of this.groups.values()) group.classList.remove(kind);
    for (const id of ids) this.groups.get(this.drawing.representative(id))?.classList.add(kind);
  }
}

function curve(points) {
  const [first] = points;
  let path = `M${first.x},${first.y + first.height / 2}`;
  for (let k = 1; k < points.length; k++) {
    const a = points[k - 1], b = points[k];
    const y0 = a.y + a.height / 2, y1 = b.y - b.height / 2, middle = (y0 + y1) / 2;
    path += `C${a.x},${middle} ${b.x},${middle} ${b.x},${y1}`;
    if (b.bend) path += `L${b.x},${b.y + b.height / 2}`;
  }
  return path;
}

/** What is known of a node, as a list of terms. */
function facts(node, weights = []) {
  const list = make("dl");
  const row = (term, value) => { if (value) list.append(make("dt", {}, term), make("dd", {}, value)); };
  row("name", make("code", {}, node.name));
  if (computes(node)) row("operation", make("code", {}, node.op + (node.arguments ? `(${node.arguments})` : "")));
  row("type", node.type && make("code", {}, node.type));
  row("module", node.module && make("code", {}, node.module));
  row("line", node.source && make("code", {}, node.source + (node.code ? `  ${node.code}` : "")));
  row("weights", weights.length && make("code", {}, weights.join(", ")));
  row("predicted", node.predicted !== null && node.predicted !== undefined && seconds(node.predicted));
  row("measured", node.measured !== null && node.measured !== undefined && seconds(node.measured));
  row("work", node.bytes > 0 && `${operations(node.flops)}flop, ${bytes(node.bytes)} moved`);
  row("program", { new: "only after", removed: "only before" }[node.fate]);
  return list;
}

function tip(event, content) {
  const box = document.getElementById("tip");
  box.hidden = event === null;
  if (event === null) return;
  if (content) box.replaceChildren(content);
  const x = Math.min(event.clientX + 16, innerWidth - box.offsetWidth - 8);
  const y = event.clientY + 18 + box.offsetHeight > innerHeight ? event.clientY - box.offsetHeight - 10 : event.clientY + 18;
  box.style.left = `${Math.max(4, x)}px`;
  box.style.top = `${Math.max(4, y)}px`;
}

function select(pane, id) {
  const node = pane.program.nodes[id];
  const vertex = pane.drawing.vertices.find((v) => v.id === id);
  const details = document.getElementById("details");
  details.hidden = false;
  details.replaceChildren(facts(node, vertex?.weights));
  for (const each of PANES) {
    const alike = each.program.nodes.flatMap((n, i) => (n.source && n.source === node.source ? [i] : []));
    each.mark(each === pane ? [id] : alike, "current");
  }
}

let PANES = [];
let matches = [], at = -1;

function programs(graph) {
  PANES = [];
  for (const [name, program, caption] of [["before", graph.before, "as captured"], ["after", graph.after, "as rewritten"]]) {
    const holder = document.getElementById(name);
    const label = document.getElementById(`${name}-caption`);
    if (!program) {
      label.textContent = caption;
      holder.replaceChildren(make("div", { class: "empty" }, graph.before ? "No cheaper program was found: the graph runs as it came." : "The graph was not captured."));
      continue;
    }
    const count = program.nodes.filter(computes).length;
    const layers = program.folds.map((f) => `${f.count} × ${f.period} nodes folded`).join(", ");
    const idle = name === "after" && !graph.rewritten ? ", not installed: it was not both right and faster" : "";
    label.textContent = `${caption}${idle}: ${plural(count, "node")}${layers ? `, ${layers}` : ""}`;
    PANES.push(new Pane(holder, program));
  }
  document.getElementById("unfold").hidden = !PANES.some((pane) => pane.program.folds.length);
  document.getElementById("unfold").textContent = "Unfold layers";
  document.getElementById("details").hidden = true;
  search();
}

function search() {
  const wanted = document.getElementById("search").value.trim().toLowerCase();
  matches = [];
  at = -1;
  for (const pane of PANES) {
    const found = [];
    if (wanted) {
      pane.program.nodes.forEach((node, i) => {
        const text = [node.name, node.op, node.type, node.module, node.source, node.code].join(" ").toLowerCase();
        if (text.includes(wanted)) found.push(i);
      });
    }
    pane.mark(found, "match");
    const visible = new Set(found.map(pane.drawing.representative).filter((id) => pane.groups.has(id)));
    matches.push(...[...visible].map((id) => [pane, id]));
  }
  document.getElementById("matches").textContent = wanted ? plural(matches.length, "match").replace("matchs", "matches") : "";
}

function nextMatch(step) {
  if (!matches.length) return;
  at = (at + step + matches.length) % matches.length;
  const [pane, id] = matches[at];
  pane.show(id);
  for (const each of PANES) each.mark(each === pane ? [id] : [], "current");
  document.getElementById("matches").textContent = `${at + 1} of ${matches.length}`;
}

function bindPrograms() {
  const by = (id) => document.getElementById(id);
  by("search").addEventListener("input", search);
  by("search").addEventListener("keydown", (event) => { if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1); });
  by("next-match").addEventListener("click", () => nextMatch(1));
  by("previous-match").addEventListener("click", () => nextMatch(-1));
  by("zoom-in").addEventListener("click", () => PANES.forEach((pane) => pane.zoom(1.25)));
  by("zoom-out").addEventListener("click", () => PANES.forEach((pane) => pane.zoom(0.8)));
  by("zoom-fit").addEventListener("click", () => PANES.forEach((pane) => pane.fit()));
  by("unfold").addEventListener("click", () => {
    const unfolded = !PANES[0].unfolded;
    for (const pane of PANES) { pane.unfolded = unfolded; pane.draw(); }
    by("unfold").textContent = unfolded ? "Fold layers" : "Unfold layers";
    search();
  });
}
