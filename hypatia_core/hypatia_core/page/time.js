// Where the time goes: equal nodes together, and the machine's roofline with them on it.
function grouped(program) {
  const groups = new Map();
  for (const node of program.nodes) {
    if (!computes(node)) continue;
    const key = `${node.op} ${node.type} ${node.fate}`;
    const group = groups.get(key) ?? { node, count: 0, predicted: 0, known: false, measured: 0, timed: false, flops: 0, bytes: 0 };
    group.count += 1;
    group.predicted += node.predicted ?? 0;
    group.known ||= typeof node.predicted === "number";
    group.measured += node.measured ?? 0;
    group.timed ||= typeof node.measured === "number";
    group.flops += node.flops;
    group.bytes += node.bytes;
    groups.set(key, group);
  }
  return [...groups.values()];
}

function time(graph) {
  const holder = document.getElementById("times");
  const forms = [["before", graph.before], ["after", graph.after]].filter(([, program]) => program);
  if (!forms.length) {
    holder.replaceChildren(make("p", { class: "quiet" }, "There is no graph to show."));
    return;
  }
  const body = make("div");
  const show = (name) => {
    const program = graph[name];
    for (const button of bar.children) button.setAttribute("aria-pressed", button.dataset.form === name);
    body.replaceChildren(make("div", { class: "two" }, table(program), roofline(program, graph.machine)));
  };
  const bar = make("div", { class: "bar" }, ...forms.map(([name]) =>
    make("button", { "data-form": name, onclick: () => show(name) }, { before: "as captured", after: "as rewritten" }[name])));
  holder.replaceChildren(bar, body);
  show(forms[forms.length - 1][0]);
}

function table(program) {
  const groups = grouped(program);
  const timed = groups.some((g) => g.timed);
  const value = (g) => (timed ? g.measured : g.predicted);
  groups.sort((a, b) => value(b) - value(a));
  const total = groups.reduce((sum, g) => sum + value(g), 0) || 1;
  const rows = groups.slice(0, 14).map((g) => make("tr", {},
    make("td", { class: "number" }, `${g.count}×`),
    make("td", { class: "name" }, make("code", {}, g.node.op), " ", make("span", { class: "quiet mono" }, shorter(g.node.type, 40))),
    make("td", { class: "number" }, g.known ? seconds(g.predicted) : "?"),
    timed ? make("td", { class: "number" }, seconds(g.measured)) : null,
    share(value(g) / total, `${((100 * value(g)) / total).toFixed(1)} %`)));
  const rest = groups.slice(14).reduce((sum, g) => sum + value(g), 0);
  const note = timed
    ? "Measured op by op, each call with its overhead; a fusing executor needs less in sum. “?”: the cost model knows nothing of it."
    : "Predicted by the cost model; “?”: it knows nothing of the operation. The option profile=True measures each node.";
  return make("div", { class: "scroll" },
    make("table", {}, make("thead", {}, make("tr", {}, make("th"), make("th", {}, "operation"), make("th", { class: "number" }, "predicted"),
      timed ? make("th", { class: "number" }, "measured") : null, make("th", {}, "share"))), make("tbody", {}, ...rows)),
    make("p", { class: "quiet" }, groups.length > 14 ? `${groups.length - 14} further kinds: ${seconds(rest)}. ` : "", note));
}

/** Operations a second over operations a byte, both logarithmic. */
function roofline(program, machine) {
  const groups = grouped(program).filter((g) => g.flops > 0 && g.bytes > 0 && (g.timed ? g.measured : g.predicted) > 0);
  if (!groups.length) return make("p", { class: "quiet" }, "No node has both work and time to show on a roofline.");
  const points = groups.map((g) => ({ g, x: g.flops / g.bytes, y: g.flops / (g.timed ? g.measured : g.predicted) }));
  const peak = machine.peak_f32, bandwidth = machine.bandwidth;
  const [width, height, left, bottom] = [520, 330, 58, 40];
  const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
  if (peak && bandwidth) { xs.push(peak / bandwidth); ys.push(peak); }
  const range = (values) => [Math.floor(Math.log10(Math.min(...values)) - 0.2), Math.ceil(Math.log10(Math.max(...values)) + 0.1)];
  const [x0, x1] = range(xs), [y0, y1] = range(ys);
  const px = (x) => left + ((Math.log10(x) - x0) / (x1 - x0)) * (width - left - 12);
  const py = (y) => height - bottom - ((Math.log10(y) - y0) / (y1 - y0)) * (height - bottom - 12);
  const chart = draw("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Roofline" });
  const text = (x, y, content, anchor = "middle") => {
    const label = draw("text", { x, y, "text-anchor": anchor });
    label.textContent = content;
    chart.append(label);
  };
  for (let e = x0; e <= x1; e++) {
    chart.append(draw("line", { class: "axis", x1: px(10 ** e), x2: px(10 ** e), y1: py(10 ** y0), y2: py(10 ** y1) }));
    text(px(10 ** e), height - bottom + 16, significant(10 ** e));
  }
  for (let e = y0; e <= y1; e++) {
    chart.append(draw("line", { class: "axis", x1: px(10 ** x0), x2: px(10 ** x1), y1: py(10 ** e), y2: py(10 ** e) }));
    text(left - 6, py(10 ** e) + 4, `${operations(10 ** e)}`, "end");
  }
  text((left + width) / 2, height - 6, "flop a byte");
  text(left + 4, 20, "flop/s", "start");
  if (peak && bandwidth) {
    const ridge = Math.min(Math.max(peak / bandwidth, 10 ** x0), 10 ** x1);
    const start = Math.max(10 ** x0, 10 ** y0 / bandwidth);
    chart.append(draw("path", { class: "roof", d: `M${px(start)},${py(bandwidth * start)}L${px(ridge)},${py(Math.min(peak, bandwidth * ridge))}L${px(10 ** x1)},${py(peak)}` }));
  }
  const most = Math.max(...points.map((p) => p.g.measured || p.g.predicted));
  for (const { g, x, y } of points) {
    const share = (g.measured || g.predicted) / most;
    const dot = draw("circle", { cx: px(x), cy: py(y), r: 3 + 9 * Math.sqrt(share), class: g.node.fate });
    dot.addEventListener("pointerenter", (event) => tip(event, make("div", {}, make("b", {}, `${g.count}× ${g.node.op}`), make("br"),
      make("code", {}, g.node.type), make("br"), `${operations(y)}flop/s at ${significant(x)} flop a byte, ${seconds(g.measured || g.predicted)} in all`)));
    dot.addEventListener("pointermove", (event) => tip(event));
    dot.addEventListener("pointerleave", () => tip(null));
    chart.append(dot);
  }
  const roofs = peak && bandwidth ? `Roof: ${operations(peak)}flop/s and ${bytes(bandwidth)}/s, as the cost model assumes. ` : "";
  return make("figure", {}, chart, make("figcaption", {}, `${roofs}Each dot is a kind of node, as large as its time.`));
}
