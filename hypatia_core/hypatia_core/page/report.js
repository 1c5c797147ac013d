// The page as a whole: headline, one graph at a time, refusals, stages.
function figure(value, meaning, kind = "") {
  return make("div", { class: `figure ${kind}` }, make("b", {}, value), make("span", {}, meaning));
}

function headline(graph) {
  const figures = [];
  const compared = DATA.comparison;
  const verdict = (ratio) => (ratio >= 1.02 ? "good" : ratio < 0.98 ? "bad" : "");
  if (compared) {
    const ratio = compared.eager_seconds / compared.compiled_seconds;
    figures.push(figure(times(ratio), `as fast as eager: ${seconds(compared.eager_seconds)} → ${seconds(compared.compiled_seconds)} a call, in alternating rounds on ${plural(compared.threads, "thread")}`, verdict(ratio)));
  }
  if (graph.speedup) figures.push(figure(times(graph.speedup), `as fast as the original graph: ${seconds(graph.measured.original)} → ${seconds(graph.measured.original / graph.speedup)}`, verdict(graph.speedup)));
  if (typeof graph.cost_before === "number" && graph.cost_before > 1.005 * graph.cost_after) figures.push(figure(times(graph.cost_before / graph.cost_after), `predicted, where rules apply: ${seconds(graph.cost_before)} → ${seconds(graph.cost_after)}`));
  if (graph.before) {
    const after = graph.rewritten && graph.after ? graph.after : graph.before;
    const change = after.peak_bytes === graph.before.peak_bytes ? bytes(after.peak_bytes) : `${bytes(graph.before.peak_bytes)} → ${bytes(after.peak_bytes)}`;
    figures.push(figure(change, `largest sum of live values, beside ${bytes(after.weight_bytes)} of weights`, after.peak_bytes < graph.before.peak_bytes ? "good" : ""));
  }
  if (compared && compared.compiled_error !== null) figures.push(figure(error(compared.compiled_error), `error against float64; eager's: ${error(compared.eager_error)}`));
  else if (typeof graph.error === "number") figures.push(figure(error(graph.error), `error against float64; the original's: ${error(graph.original_error)}`));
  const original = graph.installed === "original";
  figures.push(figure(original ? "as it came" : graph.executor, original ? "runs: nothing right was faster" : `runs the ${graph.rewritten ? "rewritten" : "original"} graph`));
  document.getElementById("headline").replaceChildren(...figures);
}

function refused(graph) {
  const notes = graph.refusals.map((reason, i) => make("div", { class: "note" }, make("p", {}, reason),
    graph.remedies[i] ? make("p", { class: "remedy" }, `What helps: ${graph.remedies[i]}.`) : null));
  if (graph.graph_break.reason) {
    notes.push(make("div", { class: "note" },
      make("p", {}, `Dynamo ended this graph before the function did: ${graph.graph_break.reason}`),
      graph.graph_break.where ? make("p", {}, make("code", {}, graph.graph_break.where)) : null,
      make("p", { class: "remedy" }, "What helps: take what breaks the graph out of the compiled function; each part is optimised by itself.")));
  }
  const measured = Object.entries(graph.measured).sort((a, b) => a[1] - b[1]);
  const best = measured.length ? measured[0][1] : 1;
  const candidates = measured.length ? [make("h3", {}, "Candidates, as measured on the first call's inputs"),
    make("table", {}, make("tbody", {}, ...measured.map(([name, value]) => make("tr", {}, make("td", {}, name), make("td", { class: "number" }, seconds(value)),
      share(value / measured[measured.length - 1][1], times(value / best))))))] : [];
  document.getElementById("refused").replaceChildren(
    ...(notes.length ? notes : [make("p", { class: "quiet" }, "Nothing was refused, and nothing fell back.")]), ...candidates);
}

function stages(graph) {
  const row = (name, value) => make("tr", {}, make("td", {}, name), make("td", { class: "number" }, value));
  const parts = Object.entries(graph.stages).map(([name, value]) => row(name, seconds(value)));
  const rules = Object.entries(graph.rules).map(([name, count]) => row(name, `${count}×`));
  const chosen = Object.entries(graph.implementations).map(([name, count]) => row(name, `${count}×`));
  if (graph.weights_read) chosen.push(row("computed once from weights", `${bytes(graph.weights_kept)} from ${bytes(graph.weights_read)}${graph.weights_released ? `, of which ${bytes(graph.weights_released)} released` : ""}`));
  const searched = Object.entries(graph.search).map(([name, value]) =>
    row(name, name.endsWith("seconds") ? seconds(value) : typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(", ") : value));
  const card = (title, rows) => make("div", { class: "scroll" }, make("h3", {}, title), rows.length ? make("table", {}, make("tbody", {}, ...rows)) : make("p", { class: "quiet" }, "none"));
  document.getElementById("stages").replaceChildren(
    make("p", {}, `Verified: ${graph.verified}.`),
    make("div", { class: "two" }, card("Stages", parts), card("Rules needed", rules), card("Search", searched), card("Implementations and weights", chosen)));
}

function show(number) {
  const graph = DATA.graphs[number];
  document.querySelectorAll("#tabs button").forEach((button, i) => button.setAttribute("aria-pressed", i === number));
  headline(graph);
  programs(graph);
  rewrites(graph);
  time(graph);
  refused(graph);
  stages(graph);
}

function begin() {
  document.getElementById("title").textContent = DATA.title || "Report";
  const count = DATA.graphs.length;
  document.getElementById("subtitle").textContent = count
    ? `${plural(count, "graph")} · ${DATA.graphs.map((g) => `${g.stage}, ${g.nodes_before} → ${g.nodes_after} nodes`).slice(0, 4).join(" · ")}`
    : "No graph was compiled yet: call the compiled function first.";
  document.getElementById("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });
  if (!count) {
    document.querySelector("main").hidden = true;
    return;
  }
  if (count > 1) DATA.graphs.forEach((graph, i) => document.getElementById("tabs").append(make("button", { onclick: () => show(i) }, `${i + 1} · ${graph.stage}`)));
  bindPrograms();
  show(0);
}

begin();
